"""The administrator is mailed at each failed attempt and at the end, whatever becomes of the relay and of the operator."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from imarchive_e2e import administrator, archives, chart, node
from imarchive_e2e.administrator import Notice
from imarchive_e2e.objects import archiver
from imarchive_e2e.operators.faults import refusal
from imarchive_e2e.operators.process import Kit, Operator, chart_operator_away, rights_to_lease

ADMINISTRATOR = "administrator@acme.example"
QUICK = {"ladder": ["5s", "6s", "7s", "8s"], "interval": "10s"}
AGAIN = 150  # seconds in which a mail that the relay refused once or twice is tried again
RELAY, ARCHIVE = "notices", "submission"


@pytest.fixture(scope="module", autouse=True)
def story(organization):
    archives.add(ADMINISTRATOR)
    journal = organization.endpoint("journal", batching={"window": "1s"}, retry=QUICK, default=True)
    organization.begin(archiver_for(ADMINISTRATOR), journal)
    organization.wait("archivingendpoints/journal")
    yield
    for service in (RELAY, ARCHIVE):  # whatever became of the story
        archives.command("resume", service)


def archiver_for(*administrators: str) -> dict:
    found = archiver()
    found["spec"]["organization"]["administrators"] = list(administrators)
    return found


def untold(organization) -> list[int]:
    return [row["attempt"] for row in organization.retry("journal").get("log", []) if "notifiedAt" not in row]


def notified(organization) -> dict:
    return organization.condition("archivingendpoint", "journal", "Notified")


def notified_is(organization, status: str, reason: str, seconds: float = 60) -> dict:
    def holds() -> dict | None:
        found = notified(organization)
        return found if (found.get("status"), found.get("reason")) == (status, reason) else None

    return node.eventually(holds, seconds, f"Notified is {status} with {reason}")


def mails() -> list[Notice]:
    return administrator.notices(ADMINISTRATOR)


def failures() -> list[Notice]:
    return [mail for mail in mails() if not mail.is_end]


def attempts_told(notices: list[Notice]) -> set[int]:
    """All that the mails tell of: the attempt of the subject, and those that they list."""
    found = {int(re.search(r"\(attempt (\d+)\)", mail.subject)[1]) for mail in notices}
    for mail in notices:
        _, _, listed = mail.facts.partition("not mailed about before:")
        found |= {int(number) for number in re.findall(r"(\d+), 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC:", listed)}
    return found


def tried(organization, times: int) -> None:
    node.eventually(lambda: len(organization.retry("journal").get("log", [])) >= times, 90, f"{times} attempts")


def recovered(organization) -> None:
    archives.command("resume", ARCHIVE)
    node.eventually(lambda: organization.retry("journal").get("attempt") == 0, 90, "the outage is over")


def test_before_anything_failed_there_is_nothing_to_tell(organization, client, chat):
    client.hand_in(chat.working_day(10))
    client.drained(60)
    assert notified(organization) == {}
    assert mails() == []


def test_each_failed_attempt_is_a_mail_with_the_facts_in_the_administrators_mailbox(organization, client, chat):
    archives.command("pause", ARCHIVE)
    client.hand_in(chat.working_day(20))
    tried(organization, 3)
    node.eventually(lambda: attempts_told(failures()) >= {1, 2, 3}, 60, "mails of three attempts")
    first, outage = failures()[0], organization.retry("journal")
    since = outage["firstFailureAt"].replace("T", " ").replace("Z", " UTC")
    assert first.subject == (
        f"imarchive: {organization.name}/journal cannot be delivered to since {since[:16]} UTC (attempt 1)"
    )
    assert "Messages of Acme cannot be delivered to the archive journal." in first.facts
    assert "What failed: Connect: " in first.facts and "refused" in first.facts.lower()
    assert f"Since: {since}" in first.facts
    assert "Next attempt: at 20" in first.facts and "Gives up: from 20" in first.facts
    assert f"kubectl describe archivingendpoint journal -n {organization.name}" in first.facts
    assert re.search(r"Waiting: \d+ messages?; the oldest was taken at 20", failures()[-1].facts)
    assert first.message["Auto-Submitted"] == "auto-generated"
    assert "cannot be delivered to the archive journal" in first.html
    assert len({mail.message_id for mail in failures()}) == len(failures()), "each is another mail"
    assert not first.message.defects


def test_the_status_says_when_each_was_mailed(organization):
    node.eventually(lambda: 1 not in untold(organization) and 2 not in untold(organization), 30, "notifiedAt")
    notified_is(organization, "True", "Told")


def test_while_the_relay_is_down_the_condition_says_so_and_the_ladder_goes_on(organization):
    archives.command("pause", RELAY)
    before = organization.retry("journal")["attempt"]
    said = notified_is(organization, "False", "RelayFailed", 90)
    assert "Connect: Connection refused" in said["message"] and "notify.*" in said["message"]
    node.eventually(lambda: organization.retry("journal")["attempt"] >= before + 3, 90, "three more attempts")
    assert untold(organization)
    ready = organization.condition("archivingendpoint", "journal", "Ready")
    assert ready["status"] == "True", "whether anybody can be mailed is no matter of deliveries"


def test_once_the_relay_is_back_every_attempt_is_told(organization):
    waiting = untold(organization)
    archives.command("resume", RELAY)
    node.eventually(lambda: attempts_told(failures()) >= set(waiting), AGAIN, "the attempts of meanwhile are told")
    notified_is(organization, "True", "Told", 60)


def test_when_the_archive_is_back_the_end_is_a_mail_too(organization, client):
    recovered(organization)
    end = node.eventually(lambda: [mail for mail in mails() if mail.is_end], 60, "the mail of the end")[0]
    assert re.search(r"is delivered to again, after .+ \(\d+ attempts\)", end.subject)
    assert "Messages of Acme are delivered to the archive journal again." in end.facts
    assert re.search(r"Waited: \d+ messages when it ended; they are being delivered", end.facts)
    node.eventually(lambda: "notifiedAt" in organization.retry("journal")["last"], 30, "the end is on the record as told")
    client.drained(60)


def test_without_administrators_the_condition_says_that_nobody_is_told(organization, client, chat):
    organization.apply(archiver_for())
    archives.command("pause", ARCHIVE)
    client.hand_in(chat.working_day(5))
    said = notified_is(organization, "False", "NoAdministrators")
    assert "spec.organization.administrators" in said["message"]
    organization.apply(archiver_for(ADMINISTRATOR))
    notified_is(organization, "True", "Told")
    recovered(organization)


def test_without_a_relay_the_condition_says_that_nobody_is_mailed(organization, client, chat):
    try:
        node.install_chart(archives.authority())
        archives.command("pause", ARCHIVE)
        client.hand_in(chat.working_day(5))
        said = notified_is(organization, "False", "NoRelay", 90)
        assert "notify.host" in said["message"]
    finally:
        archives.command("resume", ARCHIVE)
        chart.install()
    notified_is(organization, "True", "Told", 120)


@pytest.fixture(scope="module")
def credentials(tmp_path_factory) -> Path:
    """As the chart mounts the Secret of notify.secretName."""
    directory = tmp_path_factory.mktemp("relay")
    account = archives.account(chart.LOGIN)
    (directory / "username").write_text(account["login"])
    (directory / "password").write_text(account["password"])
    return directory


@pytest.fixture(scope="module")
def operator(organization, credentials, tmp_path_factory) -> Iterator[Operator]:
    """One that can be killed at a call, instead of the chart's."""
    node.apply(*rights_to_lease(organization.name))
    relay = [
        # By its address, which its certificate bears too: a process of this machine does not ask the node's DNS.
        *("--notify-host", node.ADDRESS, "--notify-port", str(archives.mail()["services"][RELAY]["port"])),
        *("--notify-from", archives.account(chart.LOGIN)["address"], "--notify-credentials", str(credentials)),
    ]
    with chart_operator_away():
        kit = Kit.prepared(tmp_path_factory.mktemp("operators"))
        with Operator(kit, organization.name, "one", *relay) as one:
            node.eventually(lambda: one.leads, 60, "it leads")
            yield one
            print(one.account())


def test_a_corrected_password_of_the_relay_is_used_without_a_restart(
    organization, client, chat, operator, credentials
):
    right = (credentials / "password").read_text()
    (credentials / "password").write_text("not the password")
    archives.command("pause", ARCHIVE)
    client.hand_in(chat.working_day(5))
    said = notified_is(organization, "False", "RelayFailed")
    assert "Auth: 535" in said["message"]
    (credentials / "password").write_text(right)
    notified_is(organization, "True", "Told", AGAIN)
    recovered(organization)
    node.eventually(lambda: "notifiedAt" in organization.retry("journal")["last"], 60, "the end is told")
    log = operator.log.read_text()
    assert operator.ends == [] and right not in log and ADMINISTRATOR not in log


def test_a_leader_that_is_killed_before_it_wrote_that_it_mailed_leaves_it_to_the_next(
    organization, client, chat, operator
):
    archives.empty(ADMINISTRATOR)
    killed = kill_at_the_first_note(operator)
    archives.command("pause", ARCHIVE)
    client.hand_in(chat.working_day(5))
    node.eventually(lambda: killed, 60, "it is killed between the mail and the status")
    node.eventually(lambda: attempts_told(failures()[1:]) >= {1}, 120, "its next life mails the attempt again")
    node.eventually(lambda: 1 not in untold(organization), 60, "the attempt is on the record as told")
    recovered(organization)


def kill_at_the_first_note(operator: Operator) -> list[str]:
    """It never comes to write the first notifiedAt: the call is in the list once it is dead."""
    killed: list[str] = []

    async def fault(call, _):
        operator.kill()
        killed.append(call.title)
        return refusal(500, call)

    def choose(call):
        status = call.body.get("status") or {}
        rows = status.get("retry", {}).get("log", []) if call.subresource == "status" else []
        return fault if not killed and any("notifiedAt" in row for row in rows) else None

    operator.proxy.choose = choose
    return killed
