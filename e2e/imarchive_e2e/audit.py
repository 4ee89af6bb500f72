"""Whether every message is in the mailboxes that it should be in, once, and as it was handed in."""

import hashlib
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from . import archives
from .books import Key, Policy, Sent
from .node import eventually

PATIENCE = 45  # seconds after which a mail that an archive took is in its mailbox
STILL = 1.0  # seconds without a new mail


def audited(
    sent: Sent,
    policy: Policy,
    logins: dict[str, str],
    repeats_allowed: bool = False,
    each: Callable[[Iterator], Iterator] = iter,
) -> "Findings":
    """Compares the mailboxes, of which there is one an endpoint, with what was handed in. `each` sees all mails pass.

    That a message is delivered means that the archive took it; its mailbox has it a little later.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        await_stillness(list(logins.values()))
        audit = Audit(sent, policy, repeats_allowed)
        for endpoint, login in logins.items():
            audit.mailbox(endpoint, each(archives.read(login)))
        findings = audit.finish()
        if not audit.missing or time.monotonic() > deadline:
            return findings


def await_stillness(logins: list[str]) -> None:
    counts: list[int] = []

    def still() -> bool:
        before, counts[:] = list(counts), map(archives.count, logins)
        return counts == before

    eventually(still, 300, "no mail comes any more", pause=STILL)


@dataclass
class Findings:
    """What is wrong, and what was counted on the way."""

    problems: list[str] = field(default_factory=list)
    mails: int = 0
    copies: int = 0  # messages in mailboxes: one that belongs to two endpoints counts twice
    files: int = 0
    repeated_mails: int = 0

    def say(self, problem: str) -> None:
        self.problems.append(problem)


class Audit:
    """Compares mailboxes with what was handed in. One mailbox an endpoint."""

    def __init__(self, sent: Sent, policy: Policy, repeats_allowed: bool = False):
        """With `repeats_allowed` a mail may arrive again, byte for byte: what an outage may do."""
        self.sent, self.repeats_allowed = sent, repeats_allowed
        self.missing = {(endpoint, key) for key, endpoints in sent.expected(policy).items() for endpoint in endpoints}
        self.seen: set[tuple[str, Key]] = set()
        self.findings = Findings()

    def mailbox(self, endpoint: str, mails: Iterable) -> None:
        batches: dict[int, tuple[str, str | None]] = {}
        bytes_of: dict[str, str] = {}
        for mail in mails:
            self.findings.mails += 1
            if mail.message_id in bytes_of:
                self.repeat(endpoint, mail, bytes_of[mail.message_id])
                continue
            bytes_of[mail.message_id] = mail.sent_sha256
            for problem in [*wrong_form(endpoint, mail), *self.wrong_content(endpoint, mail)]:
                self.findings.say(f"{endpoint} {mail.headers.get('Sequence')}: {problem}")
            batches[int(mail.headers.get("Sequence", 0))] = (
                mail.headers.get("Digest", ""),
                mail.headers.get("Previous-Digest"),
            )
        self.findings.problems += [f"{endpoint}: {problem}" for problem in wrong_chain(batches)]

    def repeat(self, endpoint: str, mail, sent_before: str) -> None:
        self.findings.repeated_mails += 1
        if mail.sent_sha256 != sent_before:
            self.findings.say(f"{endpoint}: {mail.message_id} came twice with different bytes")
        elif not self.repeats_allowed:
            self.findings.say(f"{endpoint}: {mail.message_id} came twice")

    def wrong_content(self, endpoint: str, mail) -> Iterator[str]:
        """Each message is one that was handed in, belongs here, was not here before, and came in this order."""
        if mail.transcript is None:
            yield "no transcript.json"
            return
        files: Counter[str] = Counter()
        last = -1
        for document in mail.transcript["messages"]:
            key = (document["source"], document["id"])
            if key not in self.sent.lines:
                yield f"{key} was never handed in"
                continue
            yield from self.wrong_place(endpoint, key)
            expected, contents = as_archived(self.sent.message(key))
            files.update(contents)
            if received(document) != expected:
                yield f"{key} is not as it was handed in: {document} instead of {expected}"
            if self.sent.order[key] < last:
                yield f"{key} is out of order"
            last = self.sent.order[key]
        if files != Counter(attached["sha256"] for attached in mail.attachments):
            yield "the attachments are not those that were handed in"
        self.findings.files += files.total()

    def wrong_place(self, endpoint: str, key: Key) -> Iterator[str]:
        self.findings.copies += 1
        if (endpoint, key) in self.missing:
            self.missing.remove((endpoint, key))
            self.seen.add((endpoint, key))
        elif (endpoint, key) in self.seen:
            yield f"{key} is here twice"
        else:
            yield f"{key} does not belong here"

    def finish(self) -> Findings:
        for endpoint, key in sorted(self.missing):
            self.findings.say(f"{endpoint}: {key} is missing")
        return self.findings


def wrong_form(endpoint: str, mail) -> Iterator[str]:
    """What is wrong with the mail, whatever it carries."""
    if not mail.raw_ok:
        yield "not 7-bit lines of at most 998 with CRLF"
    if mail.defects:
        yield f"defects: {mail.defects}"
    if not mail.digest_ok:
        yield "the digest is not that of transcript.json"
    if mail.headers.get("Endpoint") != endpoint or (mail.transcript or {}).get("endpoint") != endpoint:
        yield f"a mail of {mail.headers.get('Endpoint')}"
    if mail.headers.get("Messages") != str(len((mail.transcript or {}).get("messages", []))):
        yield f"says that it carries {mail.headers.get('Messages')} messages"


def wrong_chain(batches: dict[int, tuple[str, str | None]]) -> Iterator[str]:
    """Sequences are 1, 2, 3 and so on, and each mail names the digest of the one before."""
    if sorted(batches) != list(range(1, len(batches) + 1)):
        yield f"sequences have gaps: {sorted(batches)}"
    for sequence, (_, previous) in sorted(batches.items()):
        before = batches.get(sequence - 1, (None, None))[0]
        if previous != before:
            yield f"{sequence} says that the digest before it is {previous}, not {before}"


def as_archived(message: dict) -> tuple[dict, list[str]]:
    """The message as a transcript should have it, and the SHA-256 of each file that should come with it."""
    contents = []
    for attached in message.get("attachments", []):
        if (content := attached.pop("content", None)) is not None:
            data = b64decode(content)
            attached.update(size=len(data), sha256=hashlib.sha256(data).hexdigest())
            contents.append(attached["sha256"])
    return message, contents


def received(document: dict) -> dict:
    """The archived message without what the archiver adds."""
    return {name: value for name, value in document.items() if name != "receivedAt"}
