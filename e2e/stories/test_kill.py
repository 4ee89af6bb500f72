"""The archiver is killed without warning, under load: what it acknowledged is delivered, once."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from imarchive_e2e import archives, node
from imarchive_e2e.audit import Findings, audited
from imarchive_e2e.books import Policy, Sent
from imarchive_e2e.chat import FRANK, Chat
from imarchive_e2e.ingest import Client
from imarchive_e2e.node import E2E, run
from imarchive_e2e.objects import archiver, assignment

QUICK = {"ladder": ["1s", "2s", "4s"], "interval": "4s"}
OTHER = "zoe@elsewhere.example"
LARGE = 900_000  # bytes, under the 1 MiB that a text may have
KILLS = 2  # the kubelet lets each further restart wait longer


@pytest.fixture(scope="module", autouse=True)
def story(organization):
    """Frank is archived elsewhere than everybody else."""
    quick = {"batching": {"window": "1s"}, "retry": QUICK}
    vault = vault_of(organization)
    archives.add(vault)
    implicit = {"host": "vault.archive.example", "port": 465, "tls": "Implicit", "recipients": [vault]}
    # Counted are the bytes of connections that begin later.
    run(E2E / "cluster", "exec", "--", "sysctl", "-q", "-w", "net.netfilter.nf_conntrack_acct=1")
    organization.begin(
        archiver(),
        organization.endpoint("journal", default=True, **quick),
        organization.endpoint("vault", implicit, default=False, **quick),
        assignment("frank", "vault", [FRANK]),
    )
    organization.wait("archivingendpoints/journal")
    organization.wait("archivingendpoints/vault")


def kill(organization) -> None:
    organization.container().kill()


@contextmanager
def under_load(client: Client, chat: Chat, sent: Sent) -> Iterator[None]:
    """Meanwhile a chat system sends one request after the other, and the same again until it is acknowledged."""
    stop, failures = threading.Event(), []

    def talk() -> None:
        try:
            while not stop.is_set():
                client.hand_in(chat.working_day(7), sent)
        except BaseException as failure:  # noqa: BLE001  # whatever it is belongs to the test
            failures.append(failure)

    talking = threading.Thread(target=talk)
    talking.start()
    try:
        yield
    finally:
        stop.set()
        talking.join(120)
    assert failures == []


def more_mails(login: str, number: int) -> None:
    before = archives.count(login)
    node.eventually(lambda: archives.count(login) >= before + number, 60, f"{number} mails arrive", pause=0.1)


def findings_of(organization, sent: Sent) -> Findings:
    logins = {"journal": organization.login, "vault": vault_of(organization)}
    return audited(sent, Policy.read(organization.name), logins, repeats_allowed=True)


def vault_of(organization) -> str:
    return f"{organization.name}@vault.archive.example"


def test_what_was_acknowledged_is_delivered_although_the_archiver_is_killed(organization, chat, sent):
    client = organization.client()
    with under_load(client, chat, sent):
        for _ in range(KILLS):
            more_mails(organization.login, 3)
            kill(organization)
    client.drained(120)
    books = client.books()
    assert books["acknowledged"] == len(sent)
    assert books["delivered"] + books["excluded"] == len(sent)
    assert findings_of(organization, sent).problems == []
    assert organization.get("pod", "archiver-0")["status"]["containerStatuses"][0]["restartCount"] == KILLS


@contextmanager
def answers_lost(port: int, after: int) -> Iterator[None]:
    """What the archive says once it has received so many bytes in a connection is lost, but for acknowledgements."""
    rules = f"""
        table inet lost {{
          chain answers {{
            type filter hook output priority 0;
            tcp sport {port} ct original bytes > {after} ip length > 80 drop
          }}
        }}"""
    run(E2E / "cluster", "exec", "--", "nft", "-f", "-", stdin=rules)
    try:
        yield
    finally:
        run(E2E / "cluster", "exec", "--", "nft", "delete", "table", "inet", "lost")


def test_a_mail_whose_answer_was_lost_comes_again_byte_for_byte(organization, chat, sent):
    client = organization.client()
    client.drained(120)
    before = archives.count(vault_of(organization))
    with answers_lost(465, after=LARGE // 2):
        # Larger than what the connection carried before, so that only the answer to this mail is lost.
        large = chat.direct(FRANK, OTHER, "x" * LARGE)
        assert client.post(large).status == 200
        sent.add_all([large])
        node.eventually(lambda: archives.count(vault_of(organization)) > before, 60, "the first copy", pause=0.1)
        assert client.books()["waiting"] == 1
        kill(organization)
    client.drained(120)
    findings = findings_of(organization, sent)
    assert findings.problems == []
    assert findings.repeated_mails >= 1
