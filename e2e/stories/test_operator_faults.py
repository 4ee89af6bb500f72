"""Whatever happens to the operator while it works, the end is the one of an undisturbed run, and then it is at rest.

Each history is one run of the same scenario, in a namespace and with an operator of its own, which talks to the API
server through a proxy. `e2e/faults` plays them all, and longer.
"""

from collections.abc import Iterator

import pytest
from imarchive_e2e.operators.disturbances import (
    ApiServerRestarted,
    Disturbance,
    Killed,
    KilledAt,
    Late,
    Refused,
    restarted_in_the_past,
    told_the_past,
    watches_dropped,
)
from imarchive_e2e.operators.histories import History, Run, play_all
from imarchive_e2e.operators.process import Kit, chart_operator_away
from imarchive_e2e.operators.size import FULL

REST = 600 if FULL else 20  # seconds in which nothing is to be done
SHORT_REST = 10  # for each of the many histories of the full size
AT_ONCE = 6  # of these


def of_events(call) -> bool:
    return call.resource == "events"


def of_endpoints(call) -> bool:
    return call.resource in ("archivingendpoints", "jobs")


def but_of_lease(call) -> bool:
    return not call.is_of_lease


HISTORIES = {
    "killed": lambda: Killed(lambda call: not of_events(call)),
    # An event is told once its status is written: who is killed at each status never comes to that.
    "killed-at-events": lambda: Killed(of_events),
    "conflict": lambda: Refused(409),
    "conflict-although-done": lambda: Refused(409, although_done=True),
    "busy": lambda: Refused(429),
    "broken": lambda: Refused(500),
    "broken-although-done": lambda: Refused(500, although_done=True),
    # What takes its time is waited for one after the other: all of it would take minutes.
    "late": lambda: Late(but_of_lease if FULL else of_endpoints),
    "watches-dropped": watches_dropped,
    "told-the-past": told_the_past,
    "restarted-in-the-past": restarted_in_the_past,
}


@pytest.fixture(scope="module")
def kit(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    with chart_operator_away():
        yield Kit.prepared(tmp_path_factory.mktemp("operators"))


@pytest.fixture(scope="module")
def undisturbed(kit: Kit) -> History:
    history = Run(kit, "undisturbed", Disturbance(), None, rest=0).play()
    assert not history.problem, f"{history.problem}\n{history.account}"
    return history


@pytest.fixture(scope="module")
def histories(kit: Kit, undisturbed: History) -> dict[str, History]:
    """All at once: most of the time each of them waits."""
    disturbances = {name: make() for name, make in HISTORIES.items()}
    return play_all(kit, disturbances, undisturbed, REST, len(disturbances))


def show(history: History) -> None:
    print(f"{history.name}: {history.seconds:.0f} s, {len(history.titles)} calls, {len(history.ends) + 1} lives")
    print(history.account)


def kinds(titles) -> set[tuple[str, str, bool]]:
    """What is done to which sort of object: the names of all that one life had under way may be lost with it."""
    words = [title.split()[:2] for title in titles]
    return {(method, path.partition("/")[0], path.endswith("/status")) for method, path in words}


@pytest.mark.parametrize("name", HISTORIES)
def test_the_end_is_that_of_the_undisturbed_run_and_then_nothing_happens(histories, name):
    show(histories[name])
    assert not histories[name].problem


def test_the_operator_was_killed_after_a_call_of_each_kind(histories, undisturbed):
    killed = histories["killed"].disturbance.met | histories["killed-at-events"].disturbance.met
    assert kinds(undisturbed.titles) <= kinds(killed)


@pytest.mark.parametrize("name", [name for name, make in HISTORIES.items() if isinstance(make(), Refused)])
def test_each_call_was_refused_once(histories, name):
    refused = histories[name].disturbance.met
    assert set(histories[name].titles) <= refused
    assert {"POST leases/imarchive-operator", "PUT leases/imarchive-operator"} <= refused


def test_the_api_server_may_be_restarted_in_the_middle(kit, undisturbed):
    history = Run(kit, "api-server-restarted", ApiServerRestarted(), undisturbed, SHORT_REST).play()
    show(history)
    assert not history.problem


@pytest.mark.skipif(not FULL, reason="e2e/faults does this: it takes an hour")
def test_one_fault_at_one_call_each(kit, undisturbed):
    singles: dict[str, Disturbance] = {f"killed-{n}": KilledAt(n) for n in range(1, len(undisturbed.titles) + 1)}
    for number, title in enumerate(sorted(set(undisturbed.titles))):

        def this(call, title=title) -> bool:
            return call.title == title

        for code, although_done in ((409, False), (409, True), (429, False), (500, False), (500, True)):
            name = f"{code}-{'done' if although_done else 'not-done'}-{number}"
            singles[name] = Refused(code, although_done, this)
        singles[f"late-{number}"] = Late(this)
    found = play_all(kit, singles, undisturbed, SHORT_REST, AT_ONCE)
    # Which calls there are on the way depends on who is faster: not every one comes in each run.
    problems = [f"{name}: {history.problem}" for name, history in found.items() if history.happened and history.problem]
    print(f"{len(found)} histories, of these with their fault {sum(history.happened for history in found.values())}")
    assert problems == []
