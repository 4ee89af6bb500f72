"""The archiver is killed at each system call that writes: to the spool, to a chat system, to an archive."""

from itertools import repeat

from imarchive_e2e.faults import kills, size, tracer
from imarchive_e2e.faults.run import Outcome

SAMPLE = 60


def calls_of_a_run(place) -> list[int]:
    """The number of each call of a run that nothing happens to."""
    log = place.folder / "calls"
    outcome = Outcome(0)
    with place.local(0) as (local, sink):
        local.start("--log", str(log))
        kills.play(local, sink, outcome)
    place.forget(0)
    assert outcome.problems == []
    return [event.number for event in tracer.read(log) if not event.done]


def test_what_was_acknowledged_is_delivered_wherever_the_archiver_is_killed(place, record_property):
    calls = calls_of_a_run(place)
    outcomes = size.at_once(kills.killed_at, repeat(place), size.some(calls, SAMPLE))
    reached = [outcome for outcome in outcomes if outcome.reached]
    repeated = sum(outcome.repeated_mails for outcome in outcomes)
    record_property(
        "kills", f"{len(reached)} of the {len(calls)} calls of a run; {repeated} mails came again, each owed"
    )
    assert [problem for outcome in outcomes for problem in outcome.problems] == []
    # The calls of no two runs are quite the same in number.
    assert len(reached) >= 0.9 * len(outcomes)
