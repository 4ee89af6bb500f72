"""The API server itself accepts what makes sense, and says what is wrong with the rest."""

import json

import pytest
from imarchive_e2e import node, objects
from imarchive_e2e.node import Failed
from imarchive_e2e.objects import archiver, assignment, endpoint, resource

FROM = "archive@acme.example"


@pytest.fixture(scope="module", autouse=True)
def story(organization):
    organization.begin(
        archiver(paused=True, storage={"size": "20Gi"}),
        endpoint("typed", suspend=True),
    )


def server_says(organization, thing: dict) -> str:
    """What the API server answers to the object, which is not stored."""
    (thing,) = objects.within(organization.name, thing)
    return node.kubectl("apply", "--dry-run=server", "-f", "-", stdin=json.dumps(thing))


def global_relay(**block: object) -> dict:
    block = {"account": "A9", "from": FROM, "recipient": FROM, "credentialsSecretRef": {"name": "relay"}, **block}
    return resource("ArchivingEndpoint", "relay", {"type": "GlobalRelay", "globalRelay": block})


def drc_cm(**block: object) -> dict:
    block = {"host": "drc.archive.example", "from": FROM, "recipient": FROM, **block}
    return resource("ArchivingEndpoint", "drc", {"type": "AutonomyDRCCM", "autonomyDrcCm": block})


def with_block(kind: str, **blocks: dict) -> dict:
    return resource("ArchivingEndpoint", "blocks", {"type": kind, **blocks})


def users(number: int) -> list[str]:
    return [f"user{one}@acme.example" for one in range(number)]


SMTP = objects.journal()
RELAY = global_relay()["spec"]["globalRelay"]

ACCEPTED = {
    "an endpoint with nothing but what it needs": endpoint("journal"),
    "an endpoint without credentials": endpoint("open", {"credentialsSecretRef": None}),
    "a name of 40 characters": endpoint("e" * 40),
    "implicit TLS with a port for STARTTLS": endpoint("vault", {"tls": "Implicit", "port": 465, "startTlsPort": 587}),
    "implicit TLS without any port": endpoint("vault", {"tls": "Implicit", "port": None}),
    "a window of a second": endpoint("short", batching={"window": "1s"}),
    "a window of a day": endpoint("long", batching={"window": "24h"}),
    "mails of 50 messages": endpoint("full", batching={"maxMessages": 50}),
    "the longest patience": endpoint("patient", retry={"giveUpAfter": "2160h"}),
    "a ladder without rungs": endpoint("flat", retry={"ladder": []}),
    "a test every 10 s": endpoint("tested", test={"interval": "10s"}),
    "Global Relay A9": global_relay(),
    "Global Relay at a host of one's own": global_relay(account="Custom", host="relay.archive.example", port=2525),
    "Autonomy DRC-CM": drc_cm(),
    "2,000 users": assignment("many", "journal", users(2000)),
    "a claim that grows": archiver(paused=True, storage={"size": "30Gi"}),
    "the longest retention that the ledger covers": archiver(storage={"retainDelivered": "240h"}),
}

REFUSED = {
    "an Archiver by another name": (archiver("second"), "a namespace has one Archiver, and its name is archiver"),
    "a claim that shrinks": (archiver(paused=True, storage={"size": "10Gi"}), "size may only grow"),
    "a ledger that forgets too early": (
        archiver(storage={"retainLedger": "2160h"}),
        "retainLedger must be at least 2160h more than retainDelivered",
    ),
    "an organization without domains": (
        archiver(organization={"name": "Acme", "domains": []}),
        "spec.organization.domains",
    ),
    "another type than before": (
        resource("ArchivingEndpoint", "typed", {"type": "GlobalRelay", "globalRelay": RELAY}),
        "type cannot be changed",
    ),
    "a type without its block": (with_block("SecureSMTP"), "type SecureSMTP needs the block smtp"),
    "a type with another type's block": (with_block("GlobalRelay", smtp=SMTP), "type GlobalRelay needs the block"),
    "a type with two blocks": (
        with_block("SecureSMTP", smtp=SMTP, globalRelay=RELAY),
        "GlobalRelay needs the block globalRelay, and no other type has it",
    ),
    "an unknown type": (with_block("Pigeon", smtp=SMTP), 'Unsupported value: "Pigeon"'),
    "plain text": (endpoint("plain", {"tls": "None"}), 'Unsupported value: "None"'),
    "implicit TLS on port 25": (endpoint("vault", {"tls": "Implicit", "port": 25}), "port 25 is never implicit TLS"),
    "DRC-CM with implicit TLS on port 25": (drc_cm(tls="Implicit", port=25), "port 25 is never implicit TLS"),
    "a second port without implicit TLS": (
        endpoint("twice", {"startTlsPort": 587}),
        "startTlsPort is for tls Implicit",
    ),
    "a port that is none": (endpoint("port", {"port": 65536}), "less than or equal to 65535"),
    "nobody to deliver to": (endpoint("nobody", {"recipients": []}), "should have at least 1 items"),
    "no sender": (endpoint("null", {"from": None}), "spec.smtp.from: Required value"),
    "a host for Global Relay A9": (global_relay(host="relay.archive.example"), "host is for account Custom"),
    "no host for Global Relay Custom": (global_relay(account="Custom"), "host is for account Custom, which needs it"),
    "a port for Global Relay A10": (global_relay(account="A10", port=25), "port is for account Custom"),
    "Global Relay without credentials": (
        global_relay(credentialsSecretRef=None),
        "credentialsSecretRef: Required value",
    ),
    "a window under a second": (endpoint("short", batching={"window": "999ms"}), "window is between 1s and 24h"),
    "a window over a day": (endpoint("long", batching={"window": "24h1s"}), "window is between 1s and 24h"),
    "a window that is no duration": (endpoint("odd", batching={"window": "a day"}), "spec.batching.window"),
    "mails of 51 messages": (endpoint("full", batching={"maxMessages": 51}), "less than or equal to 50"),
    "a rung under a second": (endpoint("rung", retry={"ladder": ["1h", "0s"]}), "each rung of the ladder is between"),
    "a rung over a day": (endpoint("rung", retry={"ladder": ["25h"]}), "each rung of the ladder is between 1s and 24h"),
    "an interval over a day": (endpoint("rare", retry={"interval": "25h"}), "interval is between 1s and 24h"),
    "patience over 90 days": (endpoint("patient", retry={"giveUpAfter": "2161h"}), "giveUpAfter is at most 2160h"),
    "a test every 9 s": (endpoint("tested", test={"interval": "9s"}), "the interval of tests is at least 10s"),
    "a name of 41 characters": (endpoint("e" * 41), "the name of an endpoint has at most 40 characters"),
    "2,001 users": (assignment("many", "journal", users(2001)), "must have at most 2000 items"),
    "a user twice": (assignment("twice", "journal", ["a@acme.example"] * 2), "Duplicate value"),
    "an assignment to nothing": (resource("UserAssignment", "lost", {"users": users(1)}), "spec.endpointRef: Required"),
}


@pytest.mark.parametrize("thing", ACCEPTED.values(), ids=ACCEPTED)
def test_the_api_server_accepts(organization, thing):
    assert "server dry run" in server_says(organization, thing)


@pytest.mark.parametrize(("thing", "words"), REFUSED.values(), ids=REFUSED)
def test_the_api_server_refuses_and_says_why(organization, thing, words):
    with pytest.raises(Failed) as refusal:
        server_says(organization, thing)
    assert words in str(refusal.value)


def test_assignments_can_be_selected_by_their_endpoint(organization):
    organization.apply(
        endpoint("journal", suspend=True),
        assignment("one", "journal", users(1)),
        assignment("other", "elsewhere", ["somebody@acme.example"]),
    )
    found = organization.kubectl("get", "ua", "--field-selector", "spec.endpointRef.name=journal", "-o", "name")
    assert found.split() == ["userassignment.imarchive.dev/one"]
