"""The disk fails, or is full: nothing is acknowledged that is not there, and all goes on when the disk does."""

import time
from collections import Counter
from itertools import repeat

import pytest
from imarchive_e2e.books import Sent
from imarchive_e2e.chat import Chat
from imarchive_e2e.faults import cuts, disks, kills, size
from imarchive_e2e.faults.run import Outcome, audit

EIO_SAMPLE, FULL_SAMPLE = 32, 12


@pytest.fixture(scope="module")
def calls(place) -> list:
    """The calls of a run that nothing happens to."""
    log, outcome = place.folder / "calls", Outcome(0)
    with place.local(0) as (local, sink):
        local.start("--log", str(log))
        kills.play(local, sink, outcome)
    place.forget(0)
    assert outcome.problems == []
    return [event for event in cuts.tracer.read(log) if not event.done and not event.path.startswith("socket")]


def told(outcomes: list[Outcome], of: int) -> str:
    codes = Counter(outcome.codes[0] for outcome in outcomes if outcome.reached and outcome.codes)
    ends = ", ".join(f"{number} times exit {code}" for code, number in sorted(codes.items()))
    return f"{sum(outcome.reached for outcome in outcomes)} of {of} calls; {ends}"


def test_a_call_that_fails_costs_nothing_that_was_acknowledged(place, calls, record_property):
    points = size.some(range(1, len(calls) + 1), EIO_SAMPLE)
    outcomes = size.at_once(disks.failing, repeat(place), points)
    record_property("EIO", told(outcomes, len(calls)))
    assert [problem for outcome in outcomes for problem in outcome.problems] == []


def test_a_disk_that_is_full_for_a_while_costs_nothing_that_was_acknowledged(place, calls, record_property):
    number = sum(event.call in disks.WRITES.split(",") for event in calls)
    points = size.some(range(1, number + 1), FULL_SAMPLE)
    outcomes = size.at_once(disks.full_for_a_while, repeat(place), points)
    record_property("ENOSPC", told(outcomes, number))
    assert [problem for outcome in outcomes for problem in outcome.problems] == []


def test_a_full_volume_refuses_delivers_and_takes_again(place, record_property):
    sent, chat, outcome = Sent(), Chat(), Outcome(0)
    with place.local(20_001) as (local, sink), disks.volume(local.spool):
        try:
            local.restarts = False
            local.start()
            first = chat.direct("alice@acme.example", "bob@acme.example", "Before")
            local.hand_in([first])
            sent.add_all([first])
            sink.refusing = True
            headers = disks.filled(local, chat, sent)
            assert int(headers["retry-after"]) > 0
            acknowledged = len(sent)
            sink.refusing = False
            local.drained()
            disks.taken_again(local, chat, sent)
            # A neighbour takes the last byte of the volume.
            began, filler = time.monotonic(), local.spool / "filler"
            with pytest.raises(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    if file.write(bytes(65536)) < 65536:
                        raise OSError("full")
            refused = chat.direct("alice@acme.example", "bob@acme.example", "Is there room?" * 1000)
            # What the spool has of its own may be room enough; if not, that is said.
            answer = local.connected().request([refused])
            assert answer.status in (200, 503)
            if answer.status == 200:
                sent.add_all([refused])
            filler.unlink()
            disks.taken_again(local, chat, sent)
            books = local.drained()
            assert books["delivered"] == len(sent) == books["acknowledged"]
            assert local.stop() == 0
            audit(sent, sink.taken, outcome)
            assert outcome.problems == []
            took = time.monotonic() - began
            record_property("a volume of 128 MiB", f"full after {acknowledged} messages; done {took:.0f} s later")
        finally:
            local.kill()
