"""The spool outlives its Archiver: after a pause, and after a new one took its place, everything is there."""

import json
import time

import pytest
from imarchive_e2e import node
from imarchive_e2e.audit import audited
from imarchive_e2e.books import Policy
from imarchive_e2e.chat import ALICE, ZOE
from imarchive_e2e.node import SYSTEM
from imarchive_e2e.objects import archiver
from imarchive_e2e.owned import CLAIM, OWNED

QUICK = {"batching": {"window": "1s"}, "retry": {"ladder": ["1s", "2s"], "interval": "4s"}}
READY_REASON = '--for=jsonpath={.status.conditions[?(@.type=="Ready")].reason}'


@pytest.fixture(scope="module", autouse=True)
def story(organization):
    """Nothing is delivered yet: the endpoint is suspended."""
    organization.begin(archiver(), organization.endpoint("journal", default=True, suspend=True, **QUICK))
    organization.wait("archivingendpoints/journal")


@pytest.fixture(scope="module")
def spool(organization, story, chat, sent):
    """The claim, with messages that wait in it."""
    client = organization.client()
    client.hand_in(chat.working_day(30), sent)
    return organization.find(CLAIM)


def is_the_same(claim: dict, spool: dict) -> bool:
    return claim["metadata"]["uid"] == spool["metadata"]["uid"] and "deletionTimestamp" not in claim["metadata"]


def test_while_paused_there_is_no_pod_and_the_spool_is_kept(organization, spool, sent):
    await_status(organization, waiting=len(sent))
    organization.patch("archiver/archiver", {"spec": {"paused": True}})
    organization.kubectl("wait", "pod/archiver-0", "--for=delete", "--timeout=120s")
    organization.kubectl("wait", "archivers/archiver", f"{READY_REASON}=CommandedOutOfService", "--timeout=60s")
    node.eventually(
        lambda: organization.condition("archiver", "archiver", "Reconciling") == {}, 60, "the pause is complete"
    )
    paused = organization.get("archiver", "archiver")
    assert node.condition(paused, "Ready")["status"] == "False"
    assert node.condition(paused, "Stalled") == {}
    assert paused["status"]["messages"]["waiting"] == len(sent)
    assert is_the_same(organization.find(CLAIM), spool)


def await_status(organization, **books: int) -> None:
    node.eventually(
        lambda: books.items() <= organization.get("archiver", "archiver")["status"].get("messages", {}).items(),
        60,
        f"the archiver's status says {books}",
    )


def test_after_the_pause_everything_is_there(organization, spool, sent):
    organization.patch("archiver/archiver", {"spec": {"paused": False}})
    books = organization.client().books()
    assert (books["acknowledged"], books["delivered"]) == (len(sent), 0)


def test_all_but_the_claim_goes_with_the_archiver(organization, spool):
    organization.delete("archiver/archiver")
    node.eventually(
        lambda: all(organization.find(what) is None for what in (*OWNED, "pod/archiver-0")), 90, "all of it is gone"
    )
    left = organization.find(CLAIM)
    assert is_the_same(left, spool)
    assert "ownerReferences" not in left["metadata"]


def test_endpoints_forget_an_archiver_that_is_gone(organization, spool):
    node.eventually(
        lambda: not journal(organization).get("archivers") and "pendingMessages" not in journal(organization),
        60,
        "no archiver and no backlog in the endpoint's status",
    )
    assert journal(organization)["default"] is False


def journal(organization) -> dict:
    return organization.get("archivingendpoint", "journal")["status"]


def test_endpoints_are_tested_while_there_is_no_archiver(organization, spool):
    asked = journal(organization).get("lastHandledTestAt")
    organization.test_again("journal")
    node.eventually(lambda: journal(organization).get("lastHandledTestAt") != asked, 90, "another test")
    assert journal(organization)["test"]["result"] == "Passed"


def test_another_archiver_adopts_the_spool_and_delivers_what_waited(organization, spool, sent):
    organization.patch("archivingendpoint/journal", {"spec": {"suspend": False}})
    organization.apply(archiver())
    client = organization.client()
    assert is_the_same(organization.find(CLAIM), spool)
    assert client.books()["acknowledged"] == len(sent)
    books = client.drained()
    assert books["delivered"] + books["excluded"] == len(sent)
    found = audited(sent, Policy.read(organization.name), {"journal": organization.login})
    assert found.problems == []


def test_an_archiver_that_is_replaced_at_once_has_everything_too(organization, spool, chat, sent):
    """`kubectl replace --force` deletes it and makes it anew, while what it owned is still about to go."""
    before = organization.get("archiver", "archiver")
    manifest = {"metadata": {"name": "archiver"}, **{part: before[part] for part in ("apiVersion", "kind", "spec")}}
    organization.kubectl("replace", "--force", "-f", "-", stdin=json.dumps(manifest))
    after = organization.get("archiver", "archiver")["metadata"]["uid"]
    assert after != before["metadata"]["uid"]
    node.eventually(
        lambda: all(owner(organization.find(what)) == after for what in OWNED), 90, "all belongs to the new one"
    )
    message = chat.direct(ALICE, ZOE, "And on we go")
    client = organization.client()
    client.hand_in([message], sent)
    books = client.drained()
    assert books["delivered"] + books["excluded"] == len(sent)
    assert is_the_same(organization.find(CLAIM), spool)


def owner(thing: dict | None) -> str | None:
    owners = (thing or {}).get("metadata", {}).get("ownerReferences", [])
    return owners[0]["uid"] if len(owners) == 1 else None


def test_a_volume_that_cannot_grow_is_told_and_stops_nothing(organization, spool, chat, sent):
    organization.patch("archiver/archiver", {"spec": {"storage": {"size": "30Gi"}}})
    said = node.eventually(
        lambda: organization.condition("archiver", "archiver", "Stalled"), 30, "the Archiver says what is refused"
    )
    assert (said["status"], said["reason"]) == ("True", "ApplyRefused")
    assert "spool" in said["message"] and "storageclass" in said["message"].lower()
    assert organization.condition("archiver", "archiver", "Ready")["status"] == "True"
    message = chat.direct(ALICE, ZOE, "Is there room?")
    organization.client().hand_in([message], sent)


def test_a_namespace_is_deleted_with_everything_in_it(organization, spool):
    """Nothing of it waits for anybody, and the operator does not go on about what is gone."""
    for what in ("archivers", "archivingendpoints", "statefulsets", "services", "configmaps"):
        found = node.items(what, organization.name)
        assert all("finalizers" not in thing["metadata"] for thing in found), what
    begun = spool["metadata"]["creationTimestamp"]
    assert operator_says(organization, begun), "its tests are on the operator's log"
    node.delete_namespace(organization.name)
    gone = node.now()
    time.sleep(8)
    assert operator_says(organization, gone) == []


def operator_says(organization, since: str) -> list[str]:
    """The lines of its log about this organization."""
    every = ("deployment/imarchive-operator", "--all-pods", "--tail=-1", f"--since-time={since}")
    return [line for line in node.kubectl("logs", "-n", SYSTEM, *every).splitlines() if organization.name in line]
