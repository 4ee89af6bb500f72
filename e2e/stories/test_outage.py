"""The archive is unreachable for a while: everything is taken, kept, tried again and delivered, and said on the way."""

import pytest
from imarchive_e2e import archives, node
from imarchive_e2e.audit import audited
from imarchive_e2e.books import Policy
from imarchive_e2e.objects import archiver

QUICK = {"ladder": ["1s", "2s", "4s"], "interval": "4s"}


@pytest.fixture(scope="module", autouse=True)
def story(organization):
    journal = organization.endpoint("journal", batching={"window": "1s"}, retry=QUICK, default=True)
    organization.begin(archiver(), journal)
    organization.wait("archivingendpoints/journal")
    yield
    archives.command("start", "postfix")  # whatever became of the story


def delivering(organization) -> dict:
    return organization.condition("archivingendpoint", "journal", "Delivering")


def test_before_the_outage_messages_are_delivered(organization, client, chat, sent):
    client.hand_in(chat.working_day(20), sent)
    client.drained()
    assert delivering(organization)["status"] == "True"


def test_messages_are_taken_while_the_archive_is_stopped(client, chat, sent):
    archives.command("stop", "postfix")
    for _ in range(3):
        client.hand_in(chat.working_day(20), sent)
    assert client.books()["waiting"] > 0


def test_the_endpoint_says_that_it_does_not_deliver_and_why(organization):
    said = node.eventually(
        lambda: (found := delivering(organization)).get("status") == "False" and found, 60, "Delivering is False"
    )
    assert said["reason"] == "ConnectRefused"


def test_each_retry_is_on_the_record_with_what_went_wrong(organization):
    node.eventually(lambda: len(organization.retry("journal").get("log", [])) >= 3, 90, "three tries in status.retry.log")
    outage = organization.retry("journal")
    assert [row["attempt"] for row in outage["log"]][:3] == [1, 2, 3]
    assert {row["reason"] for row in outage["log"]} == {"ConnectRefused"}
    assert outage["firstFailureAt"] and outage["nextAttemptAt"] and outage["giveUpAt"]


def test_once_the_archive_is_back_all_is_delivered_and_the_books_close(organization, client, sent):
    archives.command("start", "postfix")
    client.drained()
    books = client.books()
    assert books["delivered"] + books["excluded"] == books["acknowledged"] == len(sent)
    node.eventually(lambda: delivering(organization)["status"] == "True", 60, "Delivering is True")


def test_nothing_is_lost_and_nothing_comes_twice(organization, sent):
    found = audited(sent, Policy.read(organization.name), {"journal": organization.login}, repeats_allowed=True)
    assert found.problems == []
