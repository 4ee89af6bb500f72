"""A disk that fails, and one that is full: what is answered 200 is there all the same, and is delivered afterwards."""

import random
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..books import Sent
from ..chat import ALICE, BOB, Chat
from ..node import eventually
from . import cuts, power, workload
from .kills import owed
from .local import Local
from .run import Acknowledged, Outcome, Place, audit, hand_in
from .sink import Sink

UNUSABLE, FAILED = 3, 4  # what the archiver exits with: before it runs, and while
NOT_STARTED = 1  # a certificate or a folder that could not be written at the start
WRITES = "write,pwrite64,ftruncate,openat,rename,mkdir"
VOLUME = 128 << 20
FULL = 2.0  # seconds


def failing(place: Place, number: int) -> Outcome:
    """The whole run, with EIO at the Nth call on a file."""
    outcome = Outcome(number)
    try:
        with place.local(number) as (local, sink):
            log = local.folder / "calls"
            local.start("--log", str(log), "--fail", str(number))
            acknowledged = play(local, sink, outcome, {0, NOT_STARTED, UNUSABLE, FAILED})
            outcome.reached = any(event.failed for event in cuts.tracer.read(log))
            if outcome.codes[0] != 0:
                outcome.problems += without_the_rest(local, log, acknowledged)
    except Exception as failure:  # noqa: BLE001  # told with its number; the other runs go on
        outcome.say(repr(failure))
    if not outcome.problems:
        place.forget(number)
    return outcome


def full_for_a_while(place: Place, number: int) -> Outcome:
    """The whole run, with ENOSPC at the Nth call that takes room, and at those of the seconds after it."""
    outcome = Outcome(number)
    try:
        with place.local(number) as (local, sink):
            log = local.folder / "calls"
            asked = ("--fail", str(number), "--for", str(FULL), "--errno", "ENOSPC", "--only", WRITES)
            local.start("--log", str(log), *asked)
            play(local, sink, outcome, {0, NOT_STARTED, UNUSABLE, FAILED})
            outcome.reached = any(event.failed for event in cuts.tracer.read(log))
    except Exception as failure:  # noqa: BLE001
        outcome.say(repr(failure))
    if not outcome.problems:
        place.forget(number)
    return outcome


def play(local: Local, sink: Sink, outcome: Outcome, codes: set[int]) -> list[Acknowledged]:
    """To the end, with as many starts as it takes."""
    sent = Sent()
    acknowledged = hand_in(local, workload.requests(), sent)
    outcome.acknowledged = len(acknowledged)
    books = local.drained()
    while local.stop() != 0:
        local.bury()
        local.start()
        books = local.drained()
    last = local.bury()
    outcome.codes, outcome.refused = [end.code for end in local.ends], local.refused
    if not set(outcome.codes) <= codes or outcome.codes[-1] != 0:
        outcome.say(f"ended with {outcome.codes}")
    if last.check.code != 0:
        outcome.say(f"fsck at the end: {last.check}")
    if not books["acknowledged"] == len(sent) == books["delivered"] + books["excluded"]:
        outcome.say(f"{len(sent)} messages, and the books {books}")
    audit(sent, sink.taken, outcome, owed(local, sink) if len(local.ends) > 1 else Counter())
    return acknowledged


def without_the_rest(local: Local, log: Path, acknowledged: list[Acknowledged]) -> Iterator[str]:
    """What the failed process acknowledged is there also when the disk has forgotten what it could not make durable."""
    death = local.ends[0].at
    requests = [one for one in acknowledged if one.answered < death]
    trace = cuts.Trace(str(local.spool), [log], requests, [])
    events = trace.events()
    if not requests:
        return
    answered = {key for request in requests for key in cuts.keys(request.messages)}
    disk = power.Disk(trace.spool)
    for event in events:
        disk.happen(event)
    for kind, files in (("strict", disk.strict()), ("lucky", disk.lucky(random.Random(len(events))))):
        folder = local.folder / kind
        power.write(files, folder)
        yield from (f"{kind} disk after {local.folder.name}: {problem}" for problem in cuts.wrong(folder, answered))


@contextmanager
def volume(folder: Path, size: int = VOLUME) -> Iterator[Path]:
    """A small filesystem at the folder."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def filled(local: Local, chat: Chat, sent: Sent, limit: int = 10_000) -> dict[str, str]:
    """Hands in large messages until one is refused; returns the headers of that answer."""
    dice = random.Random(len(sent))
    for _ in range(limit):
        message = chat.direct(ALICE, BOB, dice.randbytes(20_000).hex())
        answer = local.connected().request([message])
        if answer.status == 503:
            assert answer.problem == "not-durable", answer.body
            return answer.headers
        assert answer.status == 200, answer.body
        sent.add_all([message])
    raise AssertionError("a volume that is never full")


def taken_again(local: Local, chat: Chat, sent: Sent, seconds: float = 60) -> None:
    """Waits until messages are taken again."""
    message = chat.direct(ALICE, BOB, "Is there room again?")
    eventually(lambda: local.connected().request([message]).status == 200, seconds, "room again", pause=0.2)
    sent.add_all([message])
