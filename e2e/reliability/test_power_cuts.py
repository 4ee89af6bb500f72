"""The power fails: what no fsync had made durable is gone, or there in part. What was acknowledged is there."""

import random
from itertools import repeat

import pytest
from imarchive_e2e.faults import cuts, power, size

SAMPLE = 400
STARTS = 8
ALL_STARTS = 200


@pytest.fixture(scope="module")
def trace(place) -> cuts.Trace:
    return cuts.recorded(place)


def test_whatever_a_power_cut_takes_what_was_acknowledged_is_there(trace, record_property):
    events = len(trace.events())
    points = size.some(range(events), SAMPLE)
    shares = [points[len(points) * at // 16 : len(points) * (at + 1) // 16] for at in range(16)]
    tallies = size.at_once(cuts.looked_at, repeat(trace), shares, [f"cut-{at}" for at in range(16)])
    disks = sum(tally.disks for tally in tallies)
    record_property("power cuts", f"{sum(tally.points for tally in tallies)} of {events} moments, {disks} disks")
    assert [problem for tally in tallies for problem in tally.problems] == []


def test_a_disk_that_lies_about_fsync_is_found_out(trace, tmp_path):
    """Nothing helps against such a disk; here it shows that the proof above would see a loss."""
    last = len(trace.events()) - 1
    ((_, acknowledged, disk, _),) = cuts.moments(trace, [last], lying=True)
    power.write(disk.lucky(random.Random(3)), tmp_path / "spool")
    assert list(cuts.wrong(tmp_path / "spool", acknowledged)) != []


def test_after_a_power_cut_everything_is_delivered_as_it_was_sealed(place, trace, record_property):
    events = len(trace.events())
    points = [events * at // ALL_STARTS for at in range(ALL_STARTS)]
    points = size.some(points, STARTS)
    outcomes = size.at_once(cuts.restarted, repeat(place), repeat(trace), points, range(10_000, 10_000 + len(points)))
    repeated = sum(outcome.repeated_mails for outcome in outcomes)
    record_property("starts after power cuts", f"{len(outcomes)}; {repeated} mails came again, byte for byte")
    assert [problem for outcome in outcomes for problem in outcome.problems] == []
