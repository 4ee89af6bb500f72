"""The API server itself accepts what makes sense, and says what is wrong with the rest."""

import json

import pytest
from imarchive_e2e import node, objects
from imarchive_e2e.node import PROJECT, Failed
from imarchive_e2e.objects import archiver, assignment, endpoint, resource

FROM = "archive@acme.example"
CLASS = "somewhere"


@pytest.fixture(scope="module", autouse=True)
def story(organization):
    organization.begin(
        stored(),
        endpoint("typed", suspend=True, retry={"ladder": ["1s"]}),
        assignment("traders", "typed", users(1)),
    )


def server_says(organization, *things: dict, options: tuple[str, ...] = ()) -> str:
    """What the API server answers to the objects, which are not stored."""
    # One after the other: of a List, kubectl looks at the fields itself.
    documents = "\n---\n".join(map(json.dumps, objects.within(organization.name, *things)))
    return node.kubectl("apply", "--dry-run=server", *options, "-f", "-", stdin=documents)


def stored(resources: dict | None = None, **storage: object) -> dict:
    """The story's Archiver, with what differs in its storage."""
    block = {"size": "30Gi", "storageClassName": CLASS, **storage}
    return archiver(paused=True, storage=block, resources=resources)


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


def long_addresses(number: int, length: int) -> list[str]:
    """As long as the rules allow when `length` is 318: 64 before the @, 253 after it."""
    labels = ".".join(["d" * 63, "d" * 63, "d" * 63, "d" * 61])
    return [f"user{one:04}{'x' * 56}@{labels}"[:length] for one in range(number)]


SMTP = objects.journal()
RELAY = global_relay()["spec"]["globalRelay"]
IMPLICIT = {"tls": "Implicit", "port": 465}

ACCEPTED = {
    "an endpoint with nothing but what it needs": endpoint("journal"),
    "an endpoint without credentials": endpoint("open", {"credentialsSecretRef": None}),
    "a name of 40 characters": endpoint("e" * 40),
    "implicit TLS with a port for STARTTLS": endpoint("vault", {**IMPLICIT, "startTlsPort": 587}),
    "implicit TLS without any port": endpoint("vault", {"tls": "Implicit", "port": None}),
    "a window of a second": endpoint("short", batching={"window": "1s"}),
    "a window of a day": endpoint("long", batching={"window": "24h"}),
    "mails of 50 messages": endpoint("full", batching={"maxMessages": 50}),
    "the longest patience": endpoint("patient", retry={"giveUpAfter": "2160h"}),
    "a ladder without rungs": endpoint("flat", retry={"ladder": []}),
    "a ladder of equal rungs": endpoint("even", retry={"ladder": ["1h", "60m", "3600s"]}),
    "a test every 10 s": endpoint("tested", test={"interval": "10s"}),
    "blocks that are null": endpoint("null", globalRelay=None, batching=None, default=None),
    "Global Relay A9": global_relay(),
    "Global Relay at a host of one's own": global_relay(account="Custom", host="relay.archive.example", port=2525),
    "Autonomy DRC-CM": drc_cm(),
    "2,000 users": assignment("many", "journal", users(2000)),
    "an assignment to a name of 40 characters": assignment("far", "e" * 40, users(1)),
    "a claim that grows": stored(size="31Gi"),
    "the same size in other words": stored(size="30720Mi"),
    "the longest retention that the ledger covers": stored(retainDelivered="240h"),
    "resources as a pod has them": stored(
        resources={"limits": {"cpu": 2, "memory": "1Gi"}, "requests": {"cpu": "500m"}},
    ),
}

REFUSED = {
    "an Archiver by another name": (archiver("second"), "a namespace has one Archiver, and its name is archiver"),
    "a claim that shrinks": (stored(size="10Gi"), "the size may only grow: it was 30Gi, and would be 10Gi"),
    "a claim that shrinks to the default, since its block is gone": (
        archiver(paused=True),
        "the size may only grow: it was 30Gi, and would be 20Gi",
    ),
    "another StorageClass": (stored(storageClassName="elsewhere"), "the storageClassName cannot be changed"),
    "no StorageClass any more": (archiver(paused=True, storage={"size": "30Gi"}), "storageClassName cannot be changed"),
    "a claim that holds nothing": (stored(size="1Mi"), "must be a size from 64Mi to 64Ti"),
    "a ledger that forgets too early": (
        stored(retainDelivered="241h"),
        "the retainLedger must be at least 2160h longer than retainDelivered",
    ),
    "an organization without domains": (
        archiver(organization={"name": "Acme", "domains": []}),
        "spec.organization.domains",
    ),
    "an administrator who cannot be mailed": (
        archiver(organization={"name": "Acme", "domains": ["acme.example"], "administrators": ["a..b@acme.example"]}),
        "spec.organization.administrators[0]: Invalid value: \"string\": must be a plain mailbox",
    ),
    "resources that are no quantities": (stored(resources={"limits": {"cpu": "many"}}), "limits must be quantities"),
    "requests over the limits": (
        stored(resources={"limits": {"cpu": 1}, "requests": {"cpu": "1500m"}}),
        "requests must not be more than the limits",
    ),
    "a ServiceAccount's name that is none": (
        archiver(ingest={"clients": [{"serviceAccount": "Chat_1", "sources": ["acme-chat"]}]}),
        "spec.ingest.clients[0].serviceAccount: Invalid value: \"string\": must be the name of an object",
    ),
    "another type than before": (
        resource("ArchivingEndpoint", "typed", {"type": "GlobalRelay", "globalRelay": RELAY}),
        "the type cannot be changed",
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
        "a startTlsPort is for tls Implicit alone",
    ),
    "one port for both kinds of TLS": (
        endpoint("both", {"tls": "Implicit", "port": 587}),
        "port and startTlsPort must differ",
    ),
    "a port that is none": (endpoint("port", {"port": 65536}), "less than or equal to 65535"),
    "nobody to deliver to": (endpoint("nobody", {"recipients": []}), "should have at least 1 items"),
    "a recipient twice": (endpoint("twice", {"recipients": [FROM, FROM]}), "Duplicate value"),
    "no sender": (endpoint("null", {"from": None}), "spec.smtp.from: Required value"),
    "a Secret's name that is a path": (
        endpoint("path", {"credentialsSecretRef": {"name": "../journal"}}),
        "spec.smtp.credentialsSecretRef.name: Invalid value: \"string\": must be the name of an object",
    ),
    "a host for Global Relay A9": (global_relay(host="relay.archive.example"), "account Custom needs a host"),
    "no host for Global Relay Custom": (global_relay(account="Custom"), "account Custom needs a host"),
    "a port for Global Relay A10": (global_relay(account="A10", port=25), "a port is for account Custom alone"),
    "a header's value that is none": (global_relay(messageType="a\r\nb"), "must begin with a letter or digit"),
    "Global Relay without credentials": (
        global_relay(credentialsSecretRef=None),
        "credentialsSecretRef: Required value",
    ),
    "a window under a second": (endpoint("short", batching={"window": "999ms"}), "must be a duration from 1s to 24h"),
    "a window over a day": (endpoint("long", batching={"window": "24h1s"}), "must be a duration from 1s to 24h"),
    "mails of 51 messages": (endpoint("full", batching={"maxMessages": 51}), "less than or equal to 50"),
    "mails over 512 MiB": (endpoint("vast", batching={"maxBytes": "1Gi"}), "must be a size from 1Ki to 512Mi"),
    "a rung under a second": (
        endpoint("rung", retry={"ladder": ["0s", "1h"]}),
        "spec.retry.ladder[0]: Invalid value: \"string\": must be a duration from 1s to 24h",
    ),
    "a rung over a day": (endpoint("rung", retry={"ladder": ["25h"]}), "must be a duration from 1s to 24h"),
    "a ladder that goes down": (
        endpoint("down", retry={"ladder": ["1h", "59m"]}),
        "must not decrease: no rung is shorter than the one before it",
    ),
    "17 rungs": (endpoint("high", retry={"ladder": ["1h"] * 17}), "must have at most 16 items"),
    "an interval over a day": (endpoint("rare", retry={"interval": "25h"}), "must be a duration from 1s to 24h"),
    "patience over 90 days": (
        endpoint("patient", retry={"giveUpAfter": "2161h"}),
        "must be a duration from 1s to 2160h",
    ),
    "a test every 9 s": (endpoint("tested", test={"interval": "9s"}), "must be a duration from 10s to 168h"),
    "a name of 41 characters": (endpoint("e" * 41), "the name of an endpoint has at most 40 characters"),
    "an assignment to a name of 41 characters": (
        assignment("far", "e" * 41, users(1)),
        "spec.endpointRef.name: Invalid value: \"object\": the name of an endpoint has at most 40 characters",
    ),
    "2,001 users": (assignment("many", "journal", users(2001)), "must have at most 2000 items"),
    "a user twice": (assignment("twice", "journal", ["a@acme.example"] * 2), "Duplicate value"),
    "an assignment to nothing": (resource("UserAssignment", "lost", {"users": users(1)}), "spec.endpointRef: Required"),
}

# The types' own tests hold the parsers to the same texts.
TEXTS = json.loads((PROJECT / "crds/tests/texts.json").read_text())
WITH_TEXT = {
    "address": lambda name, text: assignment(name, "journal", [text]),
    "mailbox": lambda name, text: endpoint(name, {"recipients": [text]}),
    "domain": lambda name, text: endpoint(name, {"host": text}),
    "span": lambda name, text: endpoint(name, retry={"giveUpAfter": text}),
    "size": lambda name, text: endpoint(name, batching={"maxBytes": text}),
}


@pytest.mark.parametrize("thing", ACCEPTED.values(), ids=ACCEPTED)
def test_the_api_server_accepts(organization, thing):
    assert "server dry run" in server_says(organization, thing)


@pytest.mark.parametrize(("thing", "words"), REFUSED.values(), ids=REFUSED)
def test_the_api_server_refuses_and_says_why(organization, thing, words):
    with pytest.raises(Failed) as refusal:
        server_says(organization, thing)
    assert words in str(refusal.value)


@pytest.mark.parametrize("kind", TEXTS)
def test_the_api_server_takes_the_texts_that_can_be_read(organization, kind):
    things = [WITH_TEXT[kind](f"{kind}-{number}", text) for number, text in enumerate(TEXTS[kind]["taken"])]
    assert server_says(organization, *things).count("server dry run") == len(things)


@pytest.mark.parametrize("kind", TEXTS)
def test_the_api_server_refuses_the_texts_that_cannot_be_read(organization, kind):
    texts = {f"{kind}-{number}": text for number, text in enumerate(TEXTS[kind]["refused"])}
    with pytest.raises(Failed) as refusal:
        server_says(organization, *(WITH_TEXT[kind](name, text) for name, text in texts.items()))
    taken = [text for name, text in texts.items() if f'"{name}" is invalid' not in str(refusal.value)]
    assert taken == []


def test_a_block_that_is_taken_away_has_its_defaults_again(organization):
    found = json.loads(server_says(organization, endpoint("typed", suspend=True), options=("-o", "json")))
    assert found["spec"]["retry"]["ladder"] == ["1h", "2h", "4h", "8h"]


def test_2000_of_the_longest_addresses_need_server_side_apply(organization):
    many = assignment("many", "journal", long_addresses(2000, 318))
    assert "server dry run" in server_says(organization, many, options=("--server-side",))
    with pytest.raises(Failed, match="metadata.annotations: Too long"):
        server_says(organization, many)


def test_2000_addresses_of_120_characters_need_nothing_special(organization):
    assert "server dry run" in server_says(organization, assignment("many", "journal", long_addresses(2000, 120)))


def test_assignments_can_be_selected_by_their_endpoint(organization):
    organization.apply(assignment("other", "elsewhere", ["somebody@acme.example"]))
    found = organization.kubectl("get", "ua", "--field-selector", "spec.endpointRef.name=typed", "-o", "name")
    assert found.split() == ["userassignment.imarchive.dev/traders"]


def test_all_three_kinds_are_shown_together(organization):
    found = organization.kubectl("get", "imarchive", "-o", "name").split()
    assert {name.partition(".")[0] for name in found} == {"archiver", "archivingendpoint", "userassignment"}


def test_explain_tells_defaults_and_bounds():
    told = " ".join(node.kubectl("explain", "aep.spec.batching.window").split())
    assert "Default: 8h. Must be a duration from 1s to 24h" in told
