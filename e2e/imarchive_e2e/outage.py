"""An outage to watch: the archives are away, messages go on, each retry is on the record and a mail to the administrator,
and then all is delivered."""

from . import administrator, archives, node
from .administrator import Notice
from .chat import Chat
from .ingest import Client
from .show import block, step

ADMINISTRATOR = "compliance"  # the login of compliance@acme.example, whom e2e/demo.d/acme.yaml names
ARCHIVES = ("submission", "smtps")  # of the endpoints journal and vault; the relay is another service
LADDER = {"ladder": ["2s", "4s", "8s"], "interval": "10s"}  # instead of hours
TRIES = 4
MESSAGES = 60


def watch(client: Client, chat: Chat, endpoint: str) -> list[dict]:
    """Returns the messages that were acknowledged meanwhile."""
    archives.empty(ADMINISTRATOR)
    rungs = ", ".join([*LADDER["ladder"], f"then every {LADDER['interval']}"])
    with step(f"the ladder of {endpoint} is shortened by its own spec: {rungs}"):
        node.merge("archivingendpoint", endpoint, client.namespace, {"spec": {"retry": LADDER}})
    try:
        with step("the archives are stopped; the relay that administrators are mailed by goes on"):
            for service in ARCHIVES:
                archives.command("pause", service)
        messages = list(chat.working_day(MESSAGES))
        with step(f"{len(messages)} messages are acknowledged meanwhile"):
            client.hand_in(messages)
        tries = climb(client.namespace, endpoint)
        told = mailed(client.namespace, endpoint, tries)
        describe(client.namespace, endpoint, tries)
        show(told)
    finally:
        with step("the archives are started"):
            for service in ARCHIVES:
                archives.command("resume", service)
    return messages


def climb(namespace: str, endpoint: str) -> list[dict]:
    with step(f"{endpoint} is tried, rung by rung") as running:

        def enough() -> list[dict] | None:
            tries = node.retry(endpoint, namespace).get("log", [])
            running.say(f"{endpoint} was tried {len(tries)} of {TRIES} times")
            return tries if len(tries) >= TRIES else None

        tries = node.eventually(enough, 120, f"{TRIES} tries", pause=0.5)
        running.done(f"{endpoint} was tried {len(tries)} times; each is in status.retry.log")
    return tries


def mailed(namespace: str, endpoint: str, tries: list[dict]) -> list[Notice]:
    with step("the administrator is mailed at each of them") as running:

        def told() -> bool:
            rows = node.retry(endpoint, namespace).get("log", [])
            return all("notifiedAt" in row for row in rows[: len(tries)])

        node.eventually(told, 90, "each try is told")
        found = of(namespace, endpoint)
        running.done(f"{len(found)} mails are in the mailbox compliance@acme.example")
    return found


def of(namespace: str, endpoint: str) -> list[Notice]:
    """The administrator's mails about the endpoint; others have outages too."""
    return [mail for mail in administrator.notices(ADMINISTRATOR) if f"{namespace}/{endpoint} " in mail.subject]


def over(namespace: str, endpoint: str) -> None:
    """Waits for the end of the outage, and for the mail that tells of it."""
    with step("the administrator is mailed that it is over") as running:
        ends = node.eventually(
            lambda: [mail for mail in of(namespace, endpoint) if mail.is_end], 90, "the mail of the end", pause=1
        )
        running.done(ends[-1].subject)


def describe(namespace: str, endpoint: str, tries: list[dict]) -> None:
    found = node.get("archivingendpoint", endpoint, namespace)
    said = [node.condition(found, kind) for kind in ("Delivering", "Notified")]
    conditions = [f"{condition['type']}={condition['status']}: {condition['message']}" for condition in said if condition]
    block(f"What {endpoint} says of it:", "\n".join([*conditions, "", *map(row, tries)]))


def row(entry: dict) -> str:
    said = f"{entry['stage']}: {entry.get('reason', '')} {entry.get('message', '')}".rstrip()
    return f"{entry['attempt']:>3}  {entry['at']}  {said}"


def show(mails: list[Notice]) -> None:
    block("What the administrator got:", "\n".join(mail.subject for mail in mails))
    last = mails[-1]
    block("The last of these mails:", f"Subject: {last.subject}\nFrom: {last.sender}\n\n{last.plain}")
