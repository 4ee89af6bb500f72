"""Whatever is wrong with an endpoint has a reason of its own and a sentence on what to do; once mended it is Ready."""

from dataclasses import dataclass

import pytest
from imarchive_e2e import node, objects


@dataclass(frozen=True)
class Fault:
    """What is wrong with the endpoint's block, what is said about it, and whether it may heal by itself."""

    smtp: dict
    reason: str
    advice: str
    heals: bool = False


IMPLICIT = {"tls": "Implicit", "port": 465, "host": "vault.archive.example"}
FAULTS = {
    "unknown-host": Fault({"host": "nowhere.archive.example"}, "DnsFailed", "spelling of host", heals=True),
    "closed-port": Fault({"port": 1}, "ConnectRefused", "Check port", heals=True),
    "self-signed": Fault(
        {"host": "selfsigned.archive.example", "port": 2587},
        "CertificateSelfSigned",
        "self-signed one is never accepted",
    ),
    "other-ca": Fault({"host": "untrusted.archive.example", "port": 3587}, "CertificateUntrusted", "trust.extraRoots"),
    "other-name": Fault(
        {"host": "selfsigned.archive.example"}, "CertificateNameMismatch", "a name that the certificate"
    ),
    "no-passwords": Fault(
        {"host": "relay.archive.example", "port": 25}, "AuthNotOffered", "Remove credentialsSecretRef"
    ),
    "unknown-recipient": Fault(
        {"recipients": ["nobody@journal.archive.example"]}, "RecipientRejected", "Check the recipients"
    ),
    "no-starttls": Fault(
        {**IMPLICIT, "startTlsPort": 1}, "StartTlsSupportUnreachable", "Set startTlsPort to the port", heals=True
    ),
    "wrong-password": Fault(
        {"credentialsSecretRef": {"name": "wrong"}}, "AuthRejected", "Correct username and password"
    ),
    "no-secret": Fault({"credentialsSecretRef": {"name": "later"}}, "SecretMissing", "Create the Secret"),
}
IN_A_SECRET = {"wrong-password": "wrong", "no-secret": "later"}  # mended by a Secret, not by the endpoint's spec


@pytest.fixture(scope="module", autouse=True)
def story(organization):
    organization.begin(
        objects.archiver(),
        objects.secret("wrong", organization.login, "not the password"),
        *(organization.endpoint(name, fault.smtp) for name, fault in FAULTS.items()),
    )


def ready(organization, name: str) -> dict:
    return organization.condition("archivingendpoint", name, "Ready")


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_has_its_reason_and_says_what_to_do(organization, name):
    fault = FAULTS[name]
    said = node.eventually(
        lambda: (found := ready(organization, name)).get("reason") == fault.reason and found,
        90,
        f"{name}: reason {fault.reason}",
    )
    assert said["status"] == "False"
    assert fault.advice in said["message"]


@pytest.mark.parametrize("name", FAULTS)
def test_what_may_heal_is_reconciling_and_what_needs_a_person_is_stalled(organization, name):
    endpoint = organization.get("archivingendpoint", name)
    expected, other = ("Reconciling", "Stalled") if FAULTS[name].heals else ("Stalled", "Reconciling")
    assert node.condition(endpoint, expected).get("status") == "True"
    assert node.condition(endpoint, other) == {}
    if FAULTS[name].heals:
        assert node.condition(endpoint, "Reconciling")["reason"] == "ProgressingWithRetry"


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
    node.eventually(
        lambda: ready(organization, "closed-port").get("reason") == "ConnectRefused", 90, "the mistake is noticed"
    )
    assert organization.get("archivingendpoint", "closed-port")["status"]["accepted"] == accepted
