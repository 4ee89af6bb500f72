"""When an endpoint is tested again: after changes, when asked, after its interval, and after a failure."""

from datetime import UTC, datetime, timedelta

import pytest
from imarchive_e2e import archives, node, objects, recording
from imarchive_e2e.audit import audited
from imarchive_e2e.books import Policy
from imarchive_e2e.organization import Organization

OWN_MAILBOX = "tested@journal.archive.example"
INTERVAL, PATIENT_INTERVAL = timedelta(seconds=10), timedelta(seconds=100)
FIRST_RETRY = timedelta(minutes=1)
MOUNTED = 200  # seconds until a changed Secret is in a pod, by the kubelet's defaults


@pytest.fixture(scope="module", autouse=True)
def without_pods(cluster):
    """An organization that may run no pod, which takes the operator minutes to be sure of: so it begins first."""
    organization = Organization("story-retests-no-pods")
    organization.begin(objects.quota("no-pods", {"pods": "0"}))
    organization.apply(organization.endpoint("journal"))
    yield organization
    organization.end()


@pytest.fixture(scope="module", autouse=True)
def record(organization, without_pods):
    archives.add(OWN_MAILBOX)
    organization.begin()
    endpoint = organization.endpoint
    organization.apply(
        objects.archiver(),
        objects.secret_of("changing", organization.login),
        objects.secret("wrong", organization.login, "not the password"),
        endpoint("journal", default=True, batching={"window": "1s"}),
        endpoint("changing", {"credentialsSecretRef": {"name": "changing"}}),
        endpoint("often", test={"interval": f"{INTERVAL.seconds}s"}),
        endpoint("failing", {"port": 1}),
        endpoint(
            "locked", {"credentialsSecretRef": {"name": "wrong"}}, test={"interval": f"{PATIENT_INTERVAL.seconds}s"}
        ),
        endpoint("mailing", {"recipients": [OWN_MAILBOX]}, test={"sendMessage": True}),
    )
    with recording.recorded("archivingendpoints", organization.name) as record:
        for name in ("journal", "changing", "often", "mailing"):
            organization.wait(f"archivingendpoints/{name}")
        yield record


def deliver(client, chat, sent, number: int) -> None:
    client.hand_in(chat.working_day(number), sent)
    client.drained()


def status(organization, name: str) -> dict:
    return organization.get("archivingendpoint", name)["status"]


def comes_to(organization, name: str, reason: str, seconds: int = 90) -> dict:
    def ready() -> dict:
        return organization.condition("archivingendpoint", name, "Ready")

    return node.eventually(lambda: ready().get("reason") == reason and ready(), seconds, f"{name}: reason {reason}")


def enough_tests(record, name: str, number: int, seconds: int) -> list[dict]:
    return node.eventually(
        lambda: len(found := record.tests(name)) >= number and found, seconds, f"{name}: {number} tests"
    )


def time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def version(thing: dict) -> int:
    return int(thing["metadata"]["resourceVersion"])


def waits(tests: list[dict]) -> list[timedelta]:
    """How long each test began after the end of the one before."""
    return [
        time(later["startedAt"]) - time(earlier["finishedAt"])
        for earlier, later in zip(tests, tests[1:], strict=False)
    ]


def test_a_test_that_was_asked_for_echoes_the_request_and_changes_no_condition_while_it_runs(organization, record):
    before = organization.get("archivingendpoint", "journal")
    organization.test_again("journal")
    node.eventually(lambda: status(organization, "journal").get("lastHandledTestAt"), 90, "the echo")
    after = organization.get("archivingendpoint", "journal")
    assert after["status"]["lastHandledTestAt"] == after["metadata"]["annotations"]["imarchive.dev/test-requested-at"]
    assert time(after["status"]["test"]["startedAt"]) >= time(before["status"]["test"]["finishedAt"])
    node.eventually(lambda: version(record.of("journal")[-1]) >= version(after), 30, "the record of it")
    meanwhile = [state for state in record.of("journal") if version(before) < version(state) <= version(after)]
    assert len(meanwhile) >= 2  # asked, and answered
    assert [state["status"]["conditions"] for state in meanwhile] == [before["status"]["conditions"]] * len(meanwhile)


def test_what_is_outside_of_the_block_starts_no_test(organization):
    def tests() -> tuple[dict, set[str]]:
        jobs = organization.kubectl("get", "jobs", "-l", "imarchive.dev/endpoint=journal", "-o", "name")
        return status(organization, "journal")["test"], set(jobs.split())

    before = tests()
    conduct = {"batching": {"window": "1s", "maxMessages": 7}, "delivery": {"maxConnections": 2}}
    organization.apply(organization.endpoint("journal", default=True, **conduct))
    generation = organization.get("archivingendpoint", "journal")["metadata"]["generation"]
    node.eventually(
        lambda: status(organization, "journal")["observedGeneration"] == generation, 60, "the change is seen"
    )
    # Whoever wrote this generation decided about its test in the same breath.
    assert tests() == before


def test_mail_goes_on_by_the_accepted_connection_until_a_test_of_the_new_one_passes(organization, client, chat, sent):
    accepted = status(organization, "journal")["accepted"]
    deliver(client, chat, sent, 20)
    organization.apply(organization.endpoint("journal", {"port": 1}, default=True, batching={"window": "1s"}))
    comes_to(organization, "journal", "ConnectRefused")
    assert organization.condition("archivingendpoint", "journal", "Accepted")["reason"] == "PreviousConnectionInUse"
    assert status(organization, "journal")["accepted"] == accepted
    deliver(client, chat, sent, 20)

    vault = {"host": "vault.archive.example", "tls": "Implicit", "port": 465}
    organization.apply(organization.endpoint("journal", vault, default=True, batching={"window": "1s"}))
    comes_to(organization, "journal", "TestPassed")
    found = organization.get("archivingendpoint", "journal")
    assert found["status"]["accepted"]["generation"] == found["metadata"]["generation"]
    assert found["status"]["accepted"]["connection"]["smtp"]["host"] == "vault.archive.example"
    deliver(client, chat, sent, 20)
    found = audited(sent, Policy.read(organization.name), {"journal": organization.login}, repeats_allowed=True)
    assert found.problems == []


def test_what_changes_in_the_mounted_secret_is_tested_although_the_endpoint_stays_as_it_is(organization):
    organization.apply(objects.secret("changing", organization.login, "not the password"))
    comes_to(organization, "changing", "AuthRejected", MOUNTED)
    organization.apply(objects.secret_of("changing", organization.login))
    comes_to(organization, "changing", "TestPassed", MOUNTED)
    changed = status(organization, "changing")["archivers"][0]["credentialsChangedAt"]
    assert time(status(organization, "changing")["test"]["startedAt"]) >= time(changed)


def test_an_endpoint_that_passed_is_tested_again_after_its_interval(record):
    assert min(waits(enough_tests(record, "often", 3, 90))) >= INTERVAL


def test_only_tests_that_are_to_send_a_mail_send_one_and_it_is_marked(organization, record):
    connection = status(organization, "mailing")["test"]["connection"]
    mails = list(archives.read(OWN_MAILBOX))
    assert len(mails) == len(record.tests("mailing")) > 0
    assert (mails[0].headers["Test"], mails[0].transcript) == (connection, None)
    assert mails[0].raw_ok and mails[0].defects == []
    assert "Data" in [stage["name"] for stage in status(organization, "mailing")["test"]["stages"]]
    # All other tests were for this mailbox.
    assert all(mail.transcript for mail in archives.read(organization.login))


def test_a_refused_password_is_not_tried_again_before_the_interval(record):
    tests = enough_tests(record, "locked", 2, 180)
    assert {test["reason"] for test in tests} == {"AuthRejected"}
    assert waits(tests)[0] >= PATIENT_INTERVAL


def test_a_failed_test_is_repeated_after_a_minute_and_then_after_twice_as_long(organization, record):
    tests = enough_tests(record, "failing", 3, 300)
    tested = organization.condition("archivingendpoint", "failing", "Tested")
    failing_since = time(tested["lastTransitionTime"])
    for before, wait in zip(tests, waits(tests), strict=False):
        assert wait >= FIRST_RETRY + max(time(before["finishedAt"]) - failing_since, timedelta())


def test_where_no_pod_may_be_made_the_probe_did_not_run_until_that_is_mended(without_pods):
    said = comes_to(without_pods, "journal", "ProbeNotRun", 360)
    assert "made no pod: a quota" in said["message"]
    assert without_pods.condition("archivingendpoint", "journal", "Reconciling")["reason"] == "ProgressingWithRetry"
    without_pods.kubectl("delete", "resourcequota", "no-pods")
    without_pods.test_again("journal")
    without_pods.wait("archivingendpoints/journal")
