"""Parses mails with Python's email package and prints what it finds.

Standard input: for each mail, a line with its length and then its bytes. Standard output: a line of JSON for each.
"""

import email
import email.policy
import hashlib
import json
import sys


def mailboxes(header):
    return [[address.display_name, address.addr_spec] for address in header.addresses]


def part(message):
    content = message.get_payload(decode=True)
    return {
        "type": message.get_content_type(),
        "disposition": message.get_content_disposition() or "",
        "name": message.get_filename() or "",
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def parse(raw):
    message = email.message_from_bytes(raw, policy=email.policy.default)
    leaves = [leaf for leaf in message.walk() if not leaf.is_multipart()]
    defects = [repr(defect) for leaf in message.walk() for defect in leaf.defects]
    defects += [f"{key}: {defect!r}" for leaf in message.walk() for key, value in leaf.items() for defect in value.defects]
    return {
        "headers": [key.lower() for key in message.keys()],
        "marks": {key.lower(): str(value) for key, value in message.items() if key.lower().startswith("x-")},
        "from": mailboxes(message["from"]),
        "sender": mailboxes(message["sender"]),
        "to": mailboxes(message["to"]),
        "subject": str(message["subject"]),
        "date": int(message["date"].datetime.timestamp()),
        "message_id": str(message["message-id"]),
        "parts": [part(leaf) for leaf in leaves],
        "text": leaves[0].get_content().replace("\r\n", "\n"),
        "html": leaves[1].get_content().replace("\r\n", "\n"),
        "json": leaves[2].get_payload(decode=True).decode(),
        "defects": defects,
    }


while line := sys.stdin.buffer.readline():
    print(json.dumps(parse(sys.stdin.buffer.read(int(line)))), flush=True)
