"""The mails that an organization's administrator got, in a real mailbox."""

import email
from dataclasses import dataclass
from email import policy
from email.message import EmailMessage

from . import archives


@dataclass(frozen=True)
class Notice:
    """A mail to the administrator."""

    subject: str
    sender: str
    message_id: str
    plain: str
    html: str
    message: EmailMessage

    @property
    def is_end(self) -> bool:
        return "is delivered to again" in self.subject

    @property
    def facts(self) -> str:
        """The plain text on one line, as it is without the breaks."""
        return " ".join(self.plain.split())


def notices(login: str) -> list[Notice]:
    """All of them, in the order in which they came."""
    with archives.mailbox.signed_in(archives.mail(), login) as imap:
        return [notice(raw) for raw in archives.mailbox.each_raw(imap)]


def notice(raw: bytes) -> Notice:
    message = email.message_from_bytes(raw, policy=policy.default)
    body = {kind: message.get_body((kind,)) for kind in ("plain", "html")}
    texts = {kind: part.get_content() if part is not None else "" for kind, part in body.items()}
    return Notice(message["Subject"], message["From"], message["Message-ID"], texts["plain"], texts["html"], message)
