#!/usr/bin/env python3
"""Reads the mailboxes that e2e/mail serves and checks each mail with other people's code: imaplib, email, hashlib.

  e2e/mailbox.py DIR [--login LOGIN] [--wait COUNT]

Prints one JSON object a mail, in the order of delivery. DIR is that of e2e/mail; when its servers are in a network
namespace, run this inside it. With --wait it first waits until the mailbox of --login holds so many mails.
"""

import argparse
import hashlib
import imaplib
import json
import re
import ssl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

SLICE_BYTES = 16 << 20  # what one FETCH may bring: few round trips for small mails, bounded memory for big ones
SLICE_MAILS = 500
LINE_LIMIT = 998  # RFC 5322, without CRLF
TRACE = (b"return-path:", b"delivered-to:", b"received:")
OUR_HEADER = "x-imarchive-"


@dataclass
class Mail:
    """A delivered mail and what was found when checking it."""

    mailbox: str
    message_id: str | None
    headers: dict[str, str]  # X-IMArchive-*, by the rest of the name
    sender: str | None  # From
    to: str | None
    subject: str | None
    date: str | None
    transcript: dict | None
    digest_ok: bool  # the SHA-256 of transcript.json is what X-IMArchive-Digest says
    attachments: list[dict]  # name, size, sha256 of all but the transcript
    body: str | None  # text/plain, as a person reads it
    defects: list[str]  # what the parser had to put up with
    raw_ok: bool  # CRLF only, 7-bit, lines within the limit
    size: int
    sent_sha256: str  # of the mail without what the servers put in front: equal for a byte-identical resend


def load(directory: str | Path) -> dict:
    """What e2e/mail wrote about its servers."""
    return json.loads((Path(directory) / "mail.json").read_text())


def mails(mailjson: dict, login: str) -> list[Mail]:
    """All mails of the mailbox, in the order of delivery."""
    return list(each_mail(mailjson, login))


def each_mail(mailjson: dict, login: str) -> Iterator[Mail]:
    """The same, one after the other, for mailboxes that are larger than memory."""
    address = account(mailjson, login)["address"]
    with signed_in(mailjson, login) as imap:
        for raw in each_raw(imap):
            yield examine(raw, address)


def count(mailjson: dict, login: str) -> int:
    with signed_in(mailjson, login) as imap:
        return messages_in_inbox(imap)


def wait_for(mailjson: dict, login: str, wanted: int, seconds: float = 60) -> int:
    """Waits until the mailbox holds at least so many mails; returns how many it holds."""
    deadline = time.monotonic() + seconds
    with signed_in(mailjson, login) as imap:
        while (found := messages_in_inbox(imap)) < wanted:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{login} has {found} of {wanted} mails after {seconds} s")
            time.sleep(0.2)
    return found


def empty(mailjson: dict, login: str) -> None:
    """Removes all mails of the mailbox."""
    with signed_in(mailjson, login) as imap:
        _, answer = imap.select("INBOX")
        if int(answer[0]) > 0:
            imap.store("1:*", "+FLAGS.SILENT", r"(\Deleted)")
            imap.expunge()


# IMAP


def account(mailjson: dict, login: str) -> dict:
    return {mailbox["login"]: mailbox for mailbox in mailjson["mailboxes"]}[login]


@contextmanager
def signed_in(mailjson: dict, login: str) -> Iterator[imaplib.IMAP4_SSL]:
    trust = ssl.create_default_context(cafile=mailjson["ca"])
    where = mailjson["imap"]
    with imaplib.IMAP4_SSL(where["host"], where["port"], ssl_context=trust, timeout=60) as imap:
        imap.login(login, account(mailjson, login)["password"])
        yield imap


def messages_in_inbox(imap: imaplib.IMAP4_SSL) -> int:
    _, answer = imap.status("INBOX", "(MESSAGES)")
    return int(re.search(rb"MESSAGES (\d+)", answer[0])[1])


def each_raw(imap: imaplib.IMAP4_SSL) -> Iterator[bytes]:
    _, answer = imap.select("INBOX", readonly=True)
    if int(answer[0]) == 0:
        return
    _, answer = imap.fetch("1:*", "(RFC822.SIZE)")
    sizes = [int(re.search(rb"RFC822.SIZE (\d+)", line)[1]) for line in answer]
    for first, last in slices(sizes):
        _, answer = imap.fetch(f"{first}:{last}", "(BODY.PEEK[])")
        bodies = [part[1] for part in answer if isinstance(part, tuple)]
        if len(bodies) != last - first + 1:
            raise RuntimeError(f"asked for mails {first} to {last}, got {len(bodies)}")
        yield from bodies


def slices(sizes: list[int]) -> Iterator[tuple[int, int]]:
    """First and last number of runs of mails that are small enough to fetch at once."""
    first, total = 1, 0
    for number, size in enumerate(sizes, start=1):
        if number > first and (total + size > SLICE_BYTES or number - first == SLICE_MAILS):
            yield first, number - 1
            first, total = number, 0
        total += size
    yield first, len(sizes)


# Checks


def examine(raw: bytes, mailbox: str) -> Mail:
    message = BytesParser(policy=policy.default).parsebytes(raw)
    ours = [(name, value) for name, value in message.items() if name.lower().startswith(OUR_HEADER)]
    headers = {name[len(OUR_HEADER) :]: str(value).strip() for name, value in ours}  # strip: a value may start folded
    files = [(part.get_filename(), content(part)) for part in message.iter_attachments()]
    # The transcript comes first: a user may have sent a file of the same name.
    transcript = next((data for name, data in files if name == "transcript.json"), None)
    attachments = list(files)
    if transcript is not None:
        attachments.remove(("transcript.json", transcript))
    return Mail(
        mailbox=mailbox,
        message_id=text(message, "Message-ID"),
        headers=headers,
        sender=text(message, "From"),
        to=text(message, "To"),
        subject=text(message, "Subject"),
        date=text(message, "Date"),
        transcript=parsed(transcript),
        digest_ok=transcript is not None and sha256(transcript) == headers.get("Digest"),
        attachments=[{"name": name, "size": len(data), "sha256": sha256(data)} for name, data in attachments],
        body=readable(message),
        defects=defects(message),
        raw_ok=is_plain(raw),
        size=len(raw),
        sent_sha256=sha256(as_sent(raw)),
    )


def text(message: EmailMessage, name: str) -> str | None:
    value = message[name]
    return None if value is None else str(value)


def readable(message: EmailMessage) -> str | None:
    part = message.get_body(preferencelist=("plain",))
    return None if part is None else part.get_content()


def content(part: EmailMessage) -> bytes:
    data = part.get_payload(decode=True)
    return part.get_payload(0).as_bytes() if data is None else data  # a mail as an attachment has no encoding to undo


def parsed(transcript: bytes | None) -> dict | None:
    try:
        return None if transcript is None else json.loads(transcript)
    except ValueError:
        return None


def defects(message: EmailMessage) -> list[str]:
    """Of the whole tree: of its structure, its headers, and its encodings, which are noted whenever one is decoded."""
    found = []
    for part in message.walk():
        part.get_payload(decode=True)
        headers = [defect for value in part.values() for defect in value.defects]
        found += [f"{type(defect).__name__}: {defect}" for defect in [*part.defects, *headers]]
    return list(dict.fromkeys(found))


def is_plain(raw: bytes) -> bool:
    lines = raw.split(b"\r\n")
    ends_well = all(b"\r" not in line and b"\n" not in line for line in lines)
    return raw.isascii() and ends_well and all(len(line) <= LINE_LIMIT for line in lines)


def as_sent(raw: bytes) -> bytes:
    """Without the trace headers in front and their continuation lines."""
    lines = raw.split(b"\r\n")
    kept, in_trace = 0, True
    while in_trace and kept < len(lines):
        in_trace = lines[kept].lower().startswith(TRACE) or (kept > 0 and lines[kept][:1] in (b" ", b"\t"))
        kept += in_trace
    return b"\r\n".join(lines[kept:])


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def as_json(mail: Mail) -> str:
    fields = asdict(mail)
    fields["from"] = fields.pop("sender")
    return json.dumps(fields)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dir")
    parser.add_argument("--login", help="only this mailbox")
    parser.add_argument("--wait", type=int, default=0, metavar="COUNT", help="wait for so many mails, at most 60 s")
    arguments = parser.parse_args()
    mailjson = load(arguments.dir)
    if arguments.wait and not arguments.login:
        parser.error("--wait needs --login")
    if arguments.wait:
        wait_for(mailjson, arguments.login, arguments.wait)
    for login in [arguments.login] if arguments.login else [box["login"] for box in mailjson["mailboxes"]]:
        for mail in each_mail(mailjson, login):
            print(as_json(mail))
    return 0


if __name__ == "__main__":
    sys.exit(main())
