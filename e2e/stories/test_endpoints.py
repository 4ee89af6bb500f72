"""Whatever is wrong with an endpoint has a reason of its own and a sentence on what to do; once mended it is Ready."""

import json
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest
from imarchive_e2e import node, objects, peers
from imarchive_e2e.organization import Organization


@dataclass(frozen=True)
class Fault:
    """What is wrong with the endpoint's block, what is said about it, and whether it may heal by itself."""

    smtp: dict
    reason: str
    stage: str
    advice: str
    heals: bool = False
    spec: dict = field(default_factory=dict)


VAULT = {"host": "vault.archive.example", "tls": "Implicit", "port": 465}
OVERWHELMED, INJECTING = 2600, 2601
FAULTS = {
    "unknown-host": Fault(
        {"host": "nowhere.archive.example"}, "DnsFailed", "Resolve", "Check the spelling of host", heals=True
    ),
    "no-route": Fault(
        {"host": "away.story-endpoints.svc.cluster.local"}, "ConnectFailed", "Connect", "Check the route", heals=True
    ),
    "no-answer": Fault({"port": OVERWHELMED}, "ConnectTimeout", "Connect", "a firewall or NetworkPolicy", heals=True),
    "closed-port": Fault({"port": 1}, "ConnectRefused", "Connect", "Check port", heals=True),
    "silent": Fault({"port": 2526}, "ReplyTimeout", "Greeting", "tried again by itself", heals=True),
    "implicit-port": Fault(
        {**VAULT, "tls": "StartTLS"}, "ReplyTimeout", "Greeting", "wants tls: Implicit", heals=True
    ),
    "no-mail-server": Fault({"port": 143}, "ProtocolError", "Greeting", "are those of a mail server"),
    "unwanted": Fault({"port": 2527}, "GreetingRejected", "Greeting", "serves this network", heals=True),
    "aloof": Fault({"port": 2528}, "EhloRejected", "Ehlo", "serves this network"),
    "plain": Fault({"port": 2525}, "StartTlsNotOffered", "StartTls", "Use a port where the archive offers STARTTLS"),
    "broken-tls": Fault({"port": 5587}, "StartTlsRejected", "StartTls", "says so for now", heals=True),
    "injected": Fault({"port": INJECTING}, "StartTlsInjection", "StartTls", "Do not use this server"),
    "no-tls": Fault({**VAULT, "port": 2529}, "HandshakeFailed", "Handshake", "Check that port and tls fit together"),
    "other-ca": Fault(
        {"host": "untrusted.archive.example", "port": 3587}, "CertificateUntrusted", "Certificate", "trust.extraRoots"
    ),
    "self-signed": Fault(
        {"host": "selfsigned.archive.example", "port": 2587},
        "CertificateSelfSigned",
        "Certificate",
        "self-signed one is never accepted",
    ),
    "expired": Fault({"port": 4587}, "CertificateExpired", "Certificate", "renew its certificate"),
    "other-name": Fault(
        {"host": "selfsigned.archive.example"},
        "CertificateNameMismatch",
        "Certificate",
        "is for journal.archive.example and vault.archive.example",
    ),
    "no-passwords": Fault(
        {"host": "relay.archive.example", "port": 25}, "AuthNotOffered", "Auth", "Remove credentialsSecretRef"
    ),
    "wrong-password": Fault(
        {"credentialsSecretRef": {"name": "wrong"}}, "AuthRejected", "Auth", "Correct username and password"
    ),
    "no-secret": Fault({"credentialsSecretRef": {"name": "later"}}, "SecretMissing", "Auth", "Create the Secret"),
    "no-login": Fault(
        {"credentialsSecretRef": None}, "RecipientRejected", "Recipient", "credentialsSecretRef is missing"
    ),
    "unwelcome": Fault({"port": 2529, "from": "unwelcome@acme.example"}, "SenderRejected", "Sender", "Set from to"),
    "greylisted": Fault(
        {"port": 2529, "from": "too-early@acme.example"}, "SenderRejected", "Sender", "five minutes", heals=True
    ),
    "hung-up-on": Fault(
        {"port": 2529, "from": "too-late@acme.example"}, "ConnectionLost", "Sender", "tried again", heals=True
    ),
    "unknown-recipient": Fault(
        {"recipients": ["nobody@journal.archive.example"]}, "RecipientRejected", "Recipient", "Check the recipients"
    ),
    "refused-mail": Fault(
        {"port": 2529}, "MessageRejected", "Data", "why it refuses this mail", spec={"test": {"sendMessage": True}}
    ),
    "no-starttls": Fault(
        {**VAULT, "startTlsPort": 1},
        "StartTlsSupportUnreachable",
        "StartTlsSupport",
        "Set startTlsPort to the port",
        heals=True,
    ),
    "plain-starttls": Fault(
        {**VAULT, "startTlsPort": 2525}, "StartTlsNotOffered", "StartTlsSupport", "beside tls: Implicit as startTlsPort"
    ),
}
IN_A_SECRET = {"wrong-password": "wrong", "no-secret": "later"}  # mended by a Secret, not by the endpoint's spec


@pytest.fixture(scope="module")
def without_jobs(cluster):
    """An organization that may run no Job."""
    organization = Organization("story-endpoints-no-jobs")
    organization.begin(objects.quota("no-jobs", {"count/jobs.batch": "0"}))
    organization.apply(organization.endpoint("journal"))
    yield organization
    organization.end()


@pytest.fixture(scope="module", autouse=True)
def story(organization, without_jobs):
    with ExitStack() as peering:
        peering.enter_context(peers.overwhelmed(OVERWHELMED))
        peering.enter_context(peers.injecting(INJECTING))
        organization.begin(
            objects.archiver(),
            objects.secret("wrong", organization.login, "not the password"),
            *objects.host("away", "198.18.0.99"),
            *(organization.endpoint(name, fault.smtp, **fault.spec) for name, fault in FAULTS.items()),
        )
        yield


def ready(organization, name: str) -> dict:
    return organization.condition("archivingendpoint", name, "Ready")


def comes_to(organization, name: str, reason: str) -> dict:
    """The condition Ready, once it has the reason."""
    return node.eventually(
        lambda: (found := ready(organization, name)).get("reason") == reason and found, 120, f"{name}: reason {reason}"
    )


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_has_its_reason_and_says_what_to_do(organization, name):
    fault = FAULTS[name]
    said = comes_to(organization, name, fault.reason)
    assert said["status"] == "False"
    assert fault.advice in said["message"]
    report = organization.get("archivingendpoint", name)["status"]["test"]
    assert [stage["name"] for stage in report["stages"] if stage["result"] == "Failed"] == [fault.stage]
    assert report["stages"][-1]["name"] == fault.stage


def test_every_reason_that_an_archive_can_cause_was_seen():
    definition = json.loads(node.kubectl("get", "crd", "archivingendpoints.imarchive.dev", "-o", "json"))
    status = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
    known = set(status["properties"]["test"]["properties"]["reason"]["enum"])
    # Of these two no archive is the cause, and the API server does not even take a block that is invalid.
    assert known - {fault.reason for fault in FAULTS.values()} == {"ProbeNotRun", "InvalidConnection"}


def test_what_may_heal_is_reconciling_and_what_needs_a_person_is_stalled(organization):
    endpoints = {found["metadata"]["name"]: found for found in node.items("archivingendpoints", organization.name)}
    for name, fault in FAULTS.items():
        expected, other = ("Reconciling", "Stalled") if fault.heals else ("Stalled", "Reconciling")
        found = node.condition(endpoints[name], expected)
        assert (name, found.get("status")) == (name, "True")
        assert (name, node.condition(endpoints[name], other)) == (name, {})
        assert found["reason"] == ("ProgressingWithRetry" if fault.heals else fault.reason)


def test_the_reason_is_in_the_list_of_endpoints(organization):
    lines = organization.kubectl("get", "aep").splitlines()
    reason = lines[0].index("REASON")
    shown = {line.split()[0]: line[reason:].split()[0] for line in lines[1:]}
    assert shown == {name: fault.reason for name, fault in FAULTS.items()}


def test_where_no_job_may_be_made_the_probe_did_not_run_and_the_api_server_says_why(without_jobs):
    said = comes_to(without_jobs, "journal", "ProbeNotRun")
    assert "exceeded quota: no-jobs" in said["message"]
    assert without_jobs.condition("archivingendpoint", "journal", "Reconciling")["reason"] == "ProgressingWithRetry"
    without_jobs.kubectl("delete", "resourcequota", "no-jobs")
    without_jobs.test_again("journal")
    without_jobs.wait("archivingendpoints/journal")


def test_each_becomes_ready_once_it_is_mended(organization):
    organization.apply(
        *(objects.secret_of(secret, organization.login) for secret in IN_A_SECRET.values()),
        *(organization.endpoint(name) for name in FAULTS if name not in IN_A_SECRET),
    )
    for name in IN_A_SECRET:
        organization.test_again(name)
    organization.kubectl(
        *("wait", "--for=condition=Ready", "--timeout=180s"), *(f"archivingendpoints/{name}" for name in FAULTS)
    )
    for name in FAULTS:
        endpoint = organization.get("archivingendpoint", name)
        assert node.condition(endpoint, "Stalled") == node.condition(endpoint, "Reconciling") == {}
        assert endpoint["status"]["test"]["result"] == "Passed"


def test_a_mistake_in_an_accepted_endpoint_leaves_the_accepted_connection_in_use(organization):
    accepted = organization.get("archivingendpoint", "closed-port")["status"]["accepted"]
    organization.apply(organization.endpoint("closed-port", {"port": 1}))
    comes_to(organization, "closed-port", "ConnectRefused")
    assert organization.get("archivingendpoint", "closed-port")["status"]["accepted"] == accepted
