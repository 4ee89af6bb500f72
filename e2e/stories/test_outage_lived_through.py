"""An outage goes on where it was, whatever is done meanwhile: an upgrade, a restart of everything, other credentials."""

import pytest
from imarchive_e2e import administrator, archives, chart, node
from imarchive_e2e.audit import audited
from imarchive_e2e.books import Policy
from imarchive_e2e.node import E2E, SYSTEM, run
from imarchive_e2e.objects import archiver, secret, secret_of

ADMINISTRATOR = "lived-through@acme.example"
ARCHIVE = "submission"
QUICK = {"ladder": ["2s", "3s"], "interval": "5s"}
KUBELET = 150  # seconds in which it brings a Secret's new content to a pod


@pytest.fixture(scope="module", autouse=True)
def story(organization):
    archives.add(ADMINISTRATOR)
    thing = archiver()
    thing["spec"]["organization"]["administrators"] = [ADMINISTRATOR]
    journal = organization.endpoint("journal", batching={"window": "1s"}, retry=QUICK, default=True)
    organization.begin(thing, journal)
    organization.wait("archivingendpoints/journal")
    yield
    archives.command("resume", ARCHIVE)  # whatever became of the story
    chart.install()


@pytest.fixture(scope="module")
def client(organization):
    """The connection of before does not outlive the pods of the story."""
    client = organization.client()
    yield client
    client.close()


@pytest.fixture(scope="module")
def began(organization, client, chat, sent) -> dict:
    """The outage after its first attempts."""
    archives.command("pause", ARCHIVE)
    say(client, chat, sent)
    return further(organization, 2)


def say(client, chat, sent) -> None:
    client.close()
    client.hand_in(chat.working_day(10), sent)


def further(organization, more: int) -> dict:
    """The outage once it was tried so many times more."""
    before = organization.retry("journal").get("attempt", 0)
    node.eventually(lambda: organization.retry("journal").get("attempt", 0) >= before + more, 120, f"{more} more attempts")
    return organization.retry("journal")


def is_the_same(now: dict, began: dict) -> None:
    assert (now["outage"], now["firstFailureAt"]) == (began["outage"], began["firstFailureAt"])
    assert [row["attempt"] for row in now["log"]] == list(range(1, now["attempt"] + 1))


def test_it_goes_on_across_an_upgrade_of_the_chart(organization, client, chat, sent, began):
    chart.install("--set", "log=info\\,operator=debug", "--set-string", "podAnnotations.story=upgraded")
    is_the_same(further(organization, 2), began)
    say(client, chat, sent)


def test_it_goes_on_across_a_restart_of_everything(organization, client, chat, sent, began):
    organization.apply(secret("journal", organization.login, "not the password"))
    node.kubectl("delete", "pods", "-n", SYSTEM, "--all", "--wait=false")
    organization.kubectl("delete", "pod", "archiver-0")
    run(E2E / "cluster", "restart-api-server")
    node.kubectl("rollout", "status", "deployment/imarchive-operator", "-n", SYSTEM, "--timeout=180s")
    organization.wait("archivers/archiver")
    is_the_same(further(organization, 2), began)
    say(client, chat, sent)


def test_an_archive_that_is_back_and_refuses_the_login_is_the_same_outage(organization, began):
    archives.command("resume", ARCHIVE)

    def refused() -> bool:
        return organization.retry("journal")["log"][-1].get("reason") == "AuthRejected"

    node.eventually(refused, 60, "the login is refused")
    is_the_same(organization.retry("journal"), began)


def test_with_the_right_password_again_all_is_delivered_and_the_books_close(organization, client, sent):
    organization.apply(secret_of("journal", organization.login))
    client.close()
    client.drained(KUBELET)
    books = client.books()
    assert books["delivered"] + books["excluded"] == books["acknowledged"] == len(sent)
    found = audited(sent, Policy.read(organization.name), {"journal": organization.login}, repeats_allowed=False)
    assert found.problems == []


def test_the_outage_is_told_as_one_and_each_attempt_of_it_was_mailed(organization, began):
    node.eventually(lambda: (organization.retry("journal").get("last") or {}).get("notifiedAt"), 90, "its end is told")
    last = organization.retry("journal")["last"]
    assert (last["outage"], last["firstFailureAt"]) == (began["outage"], began["firstFailureAt"])
    subjects = [mail.subject for mail in administrator.notices(ADMINISTRATOR)]
    ends = [subject for subject in subjects if "is delivered to again" in subject]
    assert len(ends) == 1 and f"({last['attempts']} attempts)" in ends[0]
    assert len(subjects) >= 3
