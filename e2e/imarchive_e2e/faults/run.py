"""One run from the first message to the last mail, with whatever is done to the archiver meanwhile."""

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..archives import mailbox
from ..audit import Audit
from ..books import Sent
from . import workload
from .local import Local
from .sink import Sink, Taken


@dataclass
class Acknowledged:
    """A request that was answered 200."""

    messages: list[dict]
    asked: float
    answered: float


@dataclass
class Outcome:
    """What became of a run; without problems it is as it should be."""

    number: int
    problems: list[str] = field(default_factory=list)
    reached: bool = False  # what was to happen happened
    codes: list[int] = field(default_factory=list)  # of each process, in their order
    acknowledged: int = 0
    repeated_mails: int = 0
    refused: int = 0  # requests that met 503
    wrong: list[str] = field(default_factory=list)  # what came and was never handed in so

    def say(self, problem: str) -> None:
        self.problems.append(f"run {self.number}: {problem}")


@dataclass(frozen=True)
class Place:
    """Where runs are: each has a folder of its own, which goes with it unless something was wrong."""

    folder: Path
    authority: Path
    certificate: Path

    @contextmanager
    def local(self, number: int, window: str = workload.WINDOW) -> Iterator[tuple[Local, Sink]]:
        self.forget(number)  # what another proof left to be looked at
        sink = Sink(self.certificate)
        local = Local(self.folder / f"run-{number}", sink.port, self.authority, window)
        try:
            yield local, sink
        finally:
            local.kill()
            sink.close()

    def forget(self, number: int) -> None:
        shutil.rmtree(self.folder / f"run-{number}", ignore_errors=True)


def hand_in(local: Local, requests: list[list[dict]], sent: Sent) -> list[Acknowledged]:
    """One after the other, each until it is acknowledged."""
    found = []
    for messages in requests:
        asked = time.monotonic()
        answer = local.hand_in(messages)
        assert answer.status == 200, answer.body
        found.append(Acknowledged(messages, asked, time.monotonic()))
        sent.add_all(messages)
    return found


def audit(sent: Sent, taken: list[Taken], outcome: Outcome, allowed: Counter[str] | None = None) -> None:
    """All that was acknowledged came, as it was handed in; again only what `allowed` says, by Message-ID."""
    audit = Audit(sent, workload.POLICY, repeats_allowed=True)
    again: Counter[str] = Counter()
    for endpoint, recipient in workload.RECIPIENTS.items():
        mails = [mailbox.examine(one.raw, recipient) for one in taken if one.recipient == recipient]
        audit.mailbox(endpoint, mails)
        again += Counter(mail.message_id.strip("<>") for mail in mails)
    for problem in audit.finish().problems:
        outcome.say(problem)
    again.subtract(dict.fromkeys(again, 1))
    again = +again
    outcome.repeated_mails = again.total()
    if allowed is not None and again != allowed:
        outcome.say(f"came again: {dict(again)}; taken but not noted when the process ended: {dict(allowed)}")


def message_id(taken: Taken) -> str:
    return mailbox.examine(taken.raw, taken.recipient).message_id.strip("<>")
