"""Operator and API server are gone: the archiver goes on, also after a restart. They return: all is as it should be."""

import base64
import json
from collections.abc import Iterator

import pytest
from imarchive_e2e import archives, node
from imarchive_e2e.audit import audited
from imarchive_e2e.books import Policy, Sent
from imarchive_e2e.chat import ALICE, BOB, SOURCE, Chat
from imarchive_e2e.container import Container
from imarchive_e2e.ingest import Answer, Client
from imarchive_e2e.node import E2E, SYSTEM, run
from imarchive_e2e.objects import archiver

QUICK = {"ladder": ["1s", "2s", "4s"], "interval": "4s"}
OPERATOR = "deployment/imarchive-operator"


@pytest.fixture(scope="module", autouse=True)
def story(organization):
    journal = organization.endpoint("journal", batching={"window": "1s"}, retry=QUICK, default=True)
    organization.begin(archiver(), journal)
    organization.wait("archivingendpoints/journal")


@pytest.fixture(scope="module")
def container(organization) -> Container:
    """Known from before, since nobody can be asked later."""
    return organization.container()


@pytest.fixture(scope="class")
def alone(container: Container, client: Client, chat: Chat, sent: Sent) -> Iterator[None]:
    """Once the chat system has its token the masters are gone; afterwards they are back, whatever became of the story."""
    client.hand_in(chat.working_day(10), sent)
    client.drained()
    replicas = node.get("deployment", "imarchive-operator", SYSTEM)["spec"]["replicas"]
    try:
        scale(0)
        node.kubectl("wait", "pods", "-n", SYSTEM, "-l", "app.kubernetes.io/component=operator", "--for=delete", "--timeout=60s")
        run(E2E / "cluster", "stop-api-server")
        yield
    finally:
        archives.command("start", "postfix")
        run(E2E / "cluster", "start-api-server")
        scale(replicas)
        node.kubectl("rollout", "status", OPERATOR, "-n", SYSTEM, "--timeout=120s")
        # It may have been thought dead, without its heartbeats.
        node.kubectl("wait", "nodes", "--all", "--for=condition=Ready", "--timeout=120s")


def scale(replicas: int) -> None:
    node.kubectl("scale", OPERATOR, "-n", SYSTEM, f"--replicas={replicas}")


def with_unknown_key(client: Client) -> Answer:
    """Asks with a token that is signed by a key which nobody has heard of."""
    parts = [{"alg": "RS256", "typ": "JWT", "kid": "of-tomorrow"}, {"sub": "system:serviceaccount:x:y"}, "signature"]
    words = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    client.close()  # what was idle for long may be closed
    return client.once("GET", "/v1/books", None, {"Authorization": f"Bearer {'.'.join(words)}"})


class TestAlone:
    @pytest.fixture(autouse=True)
    def _alone(self, alone):
        """Nobody is there to be asked."""

    def test_nobody_is_there_to_be_asked(self):
        with pytest.raises(node.Failed):
            node.kubectl("get", "namespaces", "--request-timeout=5s")

    def test_messages_are_taken_and_delivered(self, client, chat, sent):
        client.hand_in(chat.working_day(10), sent)
        client.drained()

    def test_a_token_of_an_unknown_key_is_to_be_shown_again_later(self, client):
        # What the API server published a moment ago is not asked for again.
        node.eventually(lambda: with_unknown_key(client).status == 503, 30, "its last answer is old", pause=2)
        for _ in range(2):
            answer = with_unknown_key(client)
            assert (answer.status, answer.problem) == (503, "not-ready"), answer.body
            assert int(answer.headers["retry-after"]) > 0

    def test_what_cannot_be_delivered_is_tried_again(self, client, chat, sent):
        archives.command("stop", "postfix")
        late = chat.direct(ALICE, BOB, "Not today")
        assert client.post(late).status == 200
        sent.add_all([late])

        def why() -> str | None:
            return client.get(f"/v1/messages/{SOURCE}/{late['id']}").body["copies"][0].get("reason")

        node.eventually(why, 30, "a try has failed")
        archives.command("start", "postfix")
        client.drained()

    def test_its_container_restarts_and_it_goes_on(self, client, chat, sent, container):
        archives.command("stop", "postfix")
        client.hand_in(chat.working_day(10), sent)
        container.kill()
        client.hand_in(chat.working_day(10), sent)
        assert client.books()["acknowledged"] == len(sent)
        archives.command("start", "postfix")
        client.drained()


def test_when_they_return_the_statuses_say_what_happened(organization, client, sent):
    def says_it() -> bool:
        messages = organization.get("archiver", "archiver")["status"].get("messages", {})
        journal = organization.get("archivingendpoint", "journal")["status"]
        waiting = journal["archivers"][0].get("pendingMessages", 0)
        return messages.get("acknowledged") == len(sent) and messages["waiting"] == waiting == 0

    node.eventually(says_it, 90, "the books are published")
    organization.wait("archivers/archiver")
    organization.wait("archivingendpoints/journal")
    organization.wait("archivingendpoints/journal", "Delivering")


def test_a_token_of_an_unknown_key_is_refused_then(client):
    node.eventually(lambda: with_unknown_key(client).status == 401, 30, "the cluster's keys are asked for", pause=2)


def test_they_go_on_together(client, chat, sent):
    client.hand_in(chat.working_day(10), sent)
    client.drained()
    assert client.books()["acknowledged"] == len(sent)


def test_nothing_is_lost_and_nothing_came_twice(organization, sent):
    found = audited(sent, Policy.read(organization.name), {"journal": organization.login}, repeats_allowed=True)
    assert found.problems == []
