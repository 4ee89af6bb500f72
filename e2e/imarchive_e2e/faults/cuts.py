"""A traced run, and what is left of it when the power fails at any moment."""

import bisect
import random
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..books import Sent
from . import power, tracer, workload
from .local import PORT, fsck
from .run import Acknowledged, Outcome, Place, audit, hand_in
from .sink import Taken

MEMORY = Path("/dev/shm")  # a disk would do the same, later
Key = tuple[str, str]


@dataclass
class Trace:
    """What an archiver did from its first start to the end of its second, and what was acknowledged when."""

    spool: str
    logs: list[Path]
    requests: list[Acknowledged]
    taken: list[Taken]

    def events(self) -> list[tracer.Event]:
        return [event for log in self.logs for event in tracer.read(log)]

    def acknowledgements(self, events: list[tracer.Event]) -> list[tuple[int, Acknowledged]]:
        """With the place among the events at which each answer was sent: the last part of it that the caller had."""
        sends = [(event.at, at) for at, event in enumerate(events) if event.port == PORT]
        found = []
        for request in self.requests:
            last = bisect.bisect(sends, (request.answered, 0)) - 1
            moment, at = sends[last]
            assert last >= 0 and moment > request.asked, "an answer that nobody sent"
            found.append((at, request))
        return found


def recorded(place: Place, number: int = 0) -> Trace:
    """A run in two halves, with a stop between them."""
    logs = [place.folder / "first", place.folder / "second"]
    requests = workload.requests()
    sent, outcome, found = Sent(), Outcome(number), []
    with place.local(number) as (local, sink):
        for log, part in zip(logs, (requests[: len(requests) // 2], requests[len(requests) // 2 :])):
            local.start("--log", str(log))
            found += hand_in(local, part, sent)
            local.drained()
            assert local.stop() == 0
        audit(sent, sink.taken, outcome)
    assert outcome.problems == [], outcome.problems
    return Trace(str(local.spool), logs, found, sink.taken)


@dataclass
class Tally:
    """How many disks were looked at, and what was wrong with them."""

    points: int = 0
    disks: int = 0
    problems: list[str] | None = None


def looked_at(trace: Trace, points: range | list[int], name: str) -> Tally:
    """Checks what is left at each of these moments: before the event of that number."""
    tally = Tally(problems=[])
    for at, acknowledged, disk, fresh in moments(trace, points):
        tally.points += 1
        variants = {"lucky": disk.lucky(random.Random(at))}
        if fresh:  # otherwise it is the disk that was looked at before
            variants["strict"] = disk.strict()
        for kind, files in variants.items():
            tally.disks += 1
            folder = MEMORY / f"imarchive-{name}"
            shutil.rmtree(folder, ignore_errors=True)
            power.write(files, folder)
            tally.problems += [f"{kind} cut at {at}: {problem}" for problem in wrong(folder, acknowledged)]
            shutil.rmtree(folder)
    return tally


def moments(
    trace: Trace, points: range | list[int], lying: bool = False
) -> Iterator[tuple[int, set[Key], power.Disk, bool]]:
    """The disk before each of these events, what was acknowledged then, and whether its durable part is another."""
    events = trace.events()
    answers = dict(trace.acknowledgements(events))
    wanted, disk, acknowledged, fresh = set(points), power.Disk(trace.spool, lying), set(), True
    for at, event in enumerate(events):
        if at in wanted:
            yield at, acknowledged, disk, fresh
            fresh = False
        fresh |= disk.happen(event)
        if at in answers:
            acknowledged |= keys(answers[at].messages)
            fresh = True


def wrong(folder: Path, acknowledged: set[Key]) -> Iterator[str]:
    """Nothing, when all that was acknowledged is there, and readable."""
    check = fsck(folder)
    if check.code == 2 and not acknowledged:
        return  # cut off before there was a spool
    if check.code != 0:
        yield f"fsck {check}"
    if check.code == 2:
        return
    with sqlite3.connect(folder / "spool.db") as connection:
        ledger = set(connection.execute("SELECT source, id FROM ledger").fetchall())
    connection.close()
    if missing := acknowledged - ledger:
        yield f"{len(missing)} acknowledged messages are gone: {sorted(missing)[:3]}"


def restarted(place: Place, trace: Trace, at: int, number: int) -> Outcome:
    """A whole start on what is left: the chat system repeats what it has no answer to, and all arrives, as it was."""
    outcome = Outcome(number)
    (_, _, disk, _) = next(moments(trace, [at]))
    files = disk.strict() if number % 2 else disk.lucky(random.Random(at))
    cut = trace.events()[at].at
    before = [one for one in trace.taken if one.at < cut]
    sent = Sent()
    try:
        with place.local(number) as (local, sink):
            shutil.rmtree(local.spool)
            power.write(files, local.spool)
            local.start()
            hand_in(local, workload.requests(), sent)  # those that it has are answered as repeated
            books = local.drained()
            if books["acknowledged"] != len(sent) or books["held"]:
                outcome.say(f"{len(sent)} messages, and the books {books}")
            if local.stop() != 0:
                outcome.say(f"exit {local.process.returncode}")
            audit(sent, [*before, *sink.taken], outcome)
    except Exception as failure:  # noqa: BLE001
        outcome.say(repr(failure))
    if not outcome.problems:
        place.forget(number)
    return outcome


def keys(messages: list[dict]) -> set[Key]:
    return {(message["source"], message["id"]) for message in messages}
