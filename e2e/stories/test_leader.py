"""Of two operators one leads. One that stood still past its Lease changes nothing any more when it goes on, whatever it
had begun before; and one that is asked to end hands over at once."""

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from imarchive_e2e import node, objects
from imarchive_e2e.operators import unrest
from imarchive_e2e.operators.calls import Call
from imarchive_e2e.operators.faults import Held
from imarchive_e2e.operators.process import Kit, Operator, chart_operator_away, rights_to_lease
from imarchive_e2e.operators.size import FULL

NAMESPACE = "story-leader"
ROUNDS = 20 if FULL else 3
PATIENCE = 60  # seconds; a Lease that is not renewed is over after 15
WATCHED = 3  # seconds, after it was started anew, in which one that waits must write nothing
HELD = ("userassignments", "services")


@dataclass
class Pair:
    """Two operators of one Lease."""

    both: tuple[Operator, Operator]

    def leader(self) -> tuple[Operator, Operator]:
        """Who leads, and who waits."""
        (leader,) = node.eventually(lambda: [one for one in self.both if one.leads], PATIENCE, "somebody leads")
        (other,) = (one for one in self.both if one is not leader)
        return leader, other


@pytest.fixture(scope="module")
def pair(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    node.delete_namespace(NAMESPACE)
    node.apply(objects.namespace(NAMESPACE))
    node.apply(*rights_to_lease(NAMESPACE), *objects.within(NAMESPACE, *unrest.things()))
    with chart_operator_away():
        kit = Kit.prepared(tmp_path_factory.mktemp("operators"))
        with Operator(kit, NAMESPACE, "one") as one, Operator(kit, NAMESPACE, "two") as two, unrest.unrest(NAMESPACE):
            yield Pair((one, two))
    node.delete_namespace(NAMESPACE, wait=False)


@pytest.fixture(autouse=True)
def accounts(pair: Pair, request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    for operator in pair.both:
        operator.proxy.choose = lambda _: None
        operator.signal(signal.SIGCONT)
        operator.begin_again()
        print(operator.account())


def successes(operator: Operator, since: float = 0) -> list[Call]:
    """What it changed by calls that began after that time; its Lease counts, too."""
    return [call for call in list(operator.proxy.calls) if call.succeeded and call.begun > since]


def held_by(operator: Operator) -> dict[str, Held]:
    """From now on one call of each kind does not arrive."""
    held = {resource: Held() for resource in HELD}

    def choose(call: Call) -> Held | None:
        fault = held.get(call.resource)
        return fault if fault and not fault.caught else None

    operator.proxy.choose = choose
    caught = held.values()
    node.eventually(lambda: all(one.caught for one in caught), PATIENCE, "a call of each kind begins", pause=0.02)
    return held


def changed_by(operator: Operator, like: Call, since: float) -> bool:
    target = (like.resource, like.name, like.subresource)
    return any((call.resource, call.name, call.subresource) == target for call in successes(operator, since))


@pytest.mark.parametrize("number", range(ROUNDS))
def test_a_leader_that_stood_still_changes_nothing_when_it_goes_on(pair, number):
    stopped, successor = pair.leader()
    held = held_by(stopped)
    stopped.signal(signal.SIGSTOP)
    stood_still, ends = time.monotonic(), len(stopped.ends)
    under_way = [one.caught[0] for one in held.values()]
    for call in under_way:
        node.eventually(
            lambda call=call: changed_by(successor, call, stood_still), PATIENCE, f"{call.title} by the successor"
        )

    # Now and then what was under way comes late before it goes on, and now and then after.
    if number % 2:
        deliver(held)
    goes_on = time.monotonic()
    stopped.signal(signal.SIGCONT)
    if not number % 2:
        deliver(held)

    node.eventually(lambda: len(stopped.ends) > ends, PATIENCE, "the old leader ends")
    time.sleep(WATCHED)
    assert [call.answer for call in under_way] == [409, 409]
    assert stopped.ends[ends:] == [1]
    assert [call.title for call in successes(stopped, goes_on)] == []
    assert successor.leads
    last = max(call.answered for call in successes(stopped))
    assert min(call.begun for call in successes(successor, stood_still)) > last


def deliver(held: dict[str, Held]) -> None:
    for one in held.values():
        one.release()
    node.eventually(
        lambda: all(one.caught[0].answer is not None for one in held.values()), PATIENCE, "what was held arrives"
    )


def test_a_leader_that_is_asked_to_end_hands_over_before_its_lease_is_over(pair):
    leader, successor = pair.leader()
    ends = len(leader.ends)
    asked = time.monotonic()
    leader.end()
    node.eventually(lambda: successor.leads, PATIENCE, "the other leads", pause=0.1)
    node.eventually(lambda: len(leader.ends) > ends, PATIENCE, "the first one ends")
    given_back = [call for call in successes(leader, asked) if call.is_of_lease][-1]
    taken = [call for call in successes(successor, asked) if call.is_of_lease][0]
    assert given_back.body["spec"].get("holderIdentity") is None
    assert taken.begun > given_back.begun
    assert taken.begun - given_back.answered < 10  # a Lease that is not given back is valid for 15 s
    assert leader.ends[ends:] == [0]
    node.eventually(
        lambda: [call for call in successes(successor, taken.answered) if not call.is_of_lease], PATIENCE, "it acts"
    )


def test_a_leader_that_is_killed_leads_again_when_it_is_restarted_at_once(pair):
    leader, other = pair.leader()
    ends = len(leader.ends)
    leader.kill()
    killed = time.monotonic()
    node.eventually(lambda: leader.leads and len(leader.ends) > ends, 12, "it leads again", pause=0.1)
    assert not [call for call in successes(other, killed)]
