"""What the demo and the stories share: kubectl, helm, HTTPS and IMAP as a user would use them, and nothing of ours.

No type and no rule comes from the product, so that an error in one of those cannot hide here.
"""
