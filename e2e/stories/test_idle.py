"""An operator that looks after many objects, of which none needs anything, writes nothing but its Lease."""

import time
from collections.abc import Iterator

import pytest
from imarchive_e2e import admin, node, objects
from imarchive_e2e.operators.process import Kit, Operator, chart_operator_away, rights_to_lease
from imarchive_e2e.operators.size import FULL

NAMESPACE = "story-idle"
ENDPOINTS, ASSIGNMENTS = (200, 799) if FULL else (20, 79)  # and one Archiver, whose pod reports on each endpoint
USERS = 20  # of each assignment
REST = 600 if FULL else 30  # seconds
PATIENCE = 900 if FULL else 180  # seconds; ten tests run at once
STILL = 3.0
API = f"/apis/{objects.API}"


@pytest.fixture(scope="module")
def operator(cluster: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    node.delete_namespace(NAMESPACE)
    node.apply(objects.namespace(NAMESPACE))
    node.apply(*objects.within(NAMESPACE, objects.secret_of("journal", "journal")), *rights_to_lease(NAMESPACE))
    with chart_operator_away():
        kit = Kit.prepared(tmp_path_factory.mktemp("operators"))
        with Operator(kit, NAMESPACE, "idle") as operator:
            yield operator
            print(operator.account())
    node.delete_namespace(NAMESPACE, wait=False)


def things() -> list[dict]:
    endpoints = [objects.endpoint(f"endpoint-{number}") for number in range(ENDPOINTS)]
    assignments = [
        objects.assignment(
            f"assignment-{number}",
            f"endpoint-{number % ENDPOINTS}",
            [f"user{number}-{one}@{objects.DOMAIN}" for one in range(USERS)],
        )
        for number in range(ASSIGNMENTS)
    ]
    return [objects.archiver(), *endpoints, *assignments]


def not_ready() -> list[str]:
    return [
        f"{plural}/{thing['metadata']['name']}"
        for plural in ("archivers", "archivingendpoints", "userassignments")
        for thing in admin.items(f"{API}/{plural}", NAMESPACE)
        if node.condition(thing, "Ready").get("status") != "True"
    ]


def rows() -> set[int]:
    """How many archivers report on an endpoint."""
    return {len(one["status"].get("archivers", [])) for one in admin.items(f"{API}/archivingendpoints", NAMESPACE)}


def test_nothing_is_written_while_nothing_changes(operator):
    node.apply(*objects.within(NAMESPACE, *things()))
    node.eventually(lambda: not not_ready() and rows() == {1}, PATIENCE, "all is Ready", pause=1)
    node.eventually(lambda: operator.idle_for() > STILL, PATIENCE, "it comes to rest")
    before = len(operator.proxy.calls)
    time.sleep(REST)
    since = operator.proxy.calls[before:]
    assert [call.title for call in since if not call.is_of_lease] == []
    assert any(call.is_of_lease for call in since), "it did not even renew its Lease"


def test_what_changes_then_is_noticed_and_nothing_else_is_touched(operator):
    before = len(operator.proxy.calls)
    path = admin.path(f"{API}/userassignments", NAMESPACE, "assignment-7")
    admin.merge(path, {"spec": {"users": [f"alone@{objects.DOMAIN}"]}})
    node.eventually(lambda: admin.get(path)["status"]["users"] == 1, 60, "the change is noticed")
    node.eventually(lambda: operator.idle_for() > STILL, 60, "it comes to rest")
    written = {f"{call.resource}/{call.stem}" for call in operator.proxy.changes(before)}
    assert written == {"userassignments/assignment-7", "archivingendpoints/endpoint-7", "archivers/archiver"}
