"""Endpoints are deleted while mail waits for them: it is held, says why, and goes out once when they are back."""

import pytest
from imarchive_e2e import archives, node
from imarchive_e2e.audit import audited
from imarchive_e2e.books import Policy
from imarchive_e2e.chat import FRANK, SOURCE, ZOE
from imarchive_e2e.objects import archiver, assignment


@pytest.fixture(scope="module", autouse=True)
def story(organization):
    """Nothing is delivered before the endpoints are deleted. Frank is archived elsewhere, in windows of eight hours."""
    archives.add(franks(organization))
    organization.begin(
        archiver(),
        journal(organization, suspend=True),
        frank(organization, "8h"),
        assignment("frank", "frank", [FRANK]),
    )
    organization.wait("archivingendpoints/journal")
    organization.wait("archivingendpoints/frank")


def franks(organization) -> str:
    return f"{organization.name}-frank@journal.archive.example"


def journal(organization, suspend: bool) -> dict:
    return organization.endpoint("journal", batching={"window": "1s"}, default=True, suspend=suspend)


def frank(organization, window: str) -> dict:
    recipients = {"recipients": [franks(organization)]}
    return organization.endpoint("frank", recipients, batching={"window": window}, default=False)


def copies(client, message: dict) -> dict[str, dict]:
    """By endpoint."""
    found = client.get(f"/v1/messages/{SOURCE}/{message['id']}")
    return {copy.get("endpoint", ""): copy for copy in found.body["copies"]}


def is_sealed(client, message: dict) -> bool:
    return all("batch" in copy for copy in copies(client, message).values())


@pytest.fixture(scope="module")
def day(client, chat, sent) -> list[dict]:
    """A day of messages, of which those to Frank stay in open windows."""
    messages = [*chat.working_day(30), chat.direct(FRANK, ZOE, "In Frank's window, and in no other")]
    client.hand_in(messages, sent)
    others = [message for message in messages if "frank" not in copies(client, message)]
    node.eventually(lambda: all(is_sealed(client, message) for message in others), 60, "the journal's are sealed")
    return messages


def test_messages_wait_in_batches_and_in_open_windows(client, day):
    assert client.books()["waiting"] == len(day)
    assert "windowEndsAt" in copies(client, day[-1])["frank"]


def test_once_the_endpoints_are_deleted_every_message_is_held_and_says_why(organization, client, day):
    organization.kubectl("delete", "archivingendpoint", "journal", "frank")
    node.eventually(lambda: client.books()["held"] == len(day), 60, "all is held")
    assert client.books()["waiting"] == 0
    for message in day:
        found = client.get(f"/v1/messages/{SOURCE}/{message['id']}").body
        assert found["state"] == "held"
        assert {copy["reason"] for copy in found["copies"]} == {"EndpointDeleted"}


def test_the_archiver_says_how_many_are_held(organization, day):
    def said() -> bool:
        counts = organization.get("archiver", "archiver")["status"]["messages"]
        return (counts["held"], counts["waiting"]) == (len(day), 0)

    node.eventually(said, 60, "status.messages says it")


def test_what_is_handed_in_meanwhile_waits_for_an_endpoint(client, chat, sent, day):
    later = [*chat.working_day(5), chat.direct(FRANK, ZOE, "Where does this go?")]
    client.hand_in(later, sent)
    books = client.books()
    assert (books["held"], books["waiting"], books["unrouted"]) == (len(day), len(later), len(later))


def test_once_the_endpoints_are_accepted_again_everything_is_delivered(organization, client, sent):
    organization.apply(journal(organization, suspend=False), frank(organization, "1s"))
    organization.wait("archivingendpoints/journal")
    organization.wait("archivingendpoints/frank")
    node.eventually(lambda: client.books()["delivered"] == len(sent), 90, "all is delivered")


def test_nothing_is_lost_and_nothing_comes_twice(organization, sent):
    logins = {"journal": organization.login, "frank": franks(organization)}
    assert audited(sent, Policy.read(organization.name), logins).problems == []
