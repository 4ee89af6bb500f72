"""Bits of the spool's file flip while no archiver runs."""

from itertools import repeat

import pytest
from imarchive_e2e.faults import flips, size

SAMPLE, STARTS, ALL_STARTS = 900, 12, 300


@pytest.fixture(scope="module")
def spool(place) -> flips.Original:
    return flips.original(place)


@pytest.fixture(scope="module")
def found(spool) -> dict[int, str]:
    """What became of each flip."""
    places = [*range(flips.HEADER), *size.some(range(flips.HEADER, len(spool.content)), SAMPLE)]
    shares = [places[at::16] for at in range(16)]
    checked = size.at_once(flips.checked, repeat(spool), shares, map(str, range(16)))
    return {at: what for share in checked for at, what in share.items()}


def test_a_flipped_bit_is_harmless_or_fsck_ends_as_documented(spool, found, record_property):
    record_property("flips", f"{len(found)} of {len(spool.content)} bytes: {flips.tally(found)}")
    assert set(found.values()) <= {flips.HARMLESS, flips.DETECTED, flips.UNREADABLE, flips.UNSEEN}


def ends_of(codes: list[int | None]) -> str:
    return " then ".join("goes on" if code is None else f"exit {code}" for code in codes)


def test_a_damaged_spool_is_started_on_or_refused(place, spool, found, record_property):
    """First of all one whose damage fsck does not see."""
    unseen = [at for at, what in found.items() if what == flips.UNSEEN]
    seen = [at for at, what in found.items() if what in (flips.DETECTED, flips.UNREADABLE)]
    number = ALL_STARTS if size.FULL else STARTS
    chosen = [*unseen[:: max(1, len(unseen) // number)], *seen[:: max(1, len(seen) // number)]]
    outcomes = size.at_once(flips.started, repeat(place), repeat(spool), chosen)
    ends = {outcome.number: ends_of(outcome.codes) for outcome in outcomes}
    wrong = sum(bool(outcome.wrong) for outcome in outcomes)
    record_property("starts on damage", f"{len(outcomes)}: {flips.tally(ends)}; {wrong} delivered something damaged")
    assert [problem for outcome in outcomes for problem in outcome.problems] == []


def test_a_rendered_mail_that_is_damaged_is_not_delivered(place, spool):
    outcome = flips.started(place, spool, flips.inside(spool, "mail", b'filename="transcript.json"', 300), 0)
    assert outcome.problems + outcome.wrong == []


def test_a_message_that_is_damaged_in_its_window_is_not_delivered(place, spool):
    outcome = flips.started(place, spool, flips.inside(spool, "message", b'"sentAt":"', 18), 0)
    assert outcome.problems + outcome.wrong == []
