"""An outage to watch: the archives are stopped, messages go on, each retry is on the record, and all is delivered."""

from . import archives, node
from .chat import Chat
from .ingest import Client
from .show import block, step

TRIES = 3


def watch(client: Client, chat: Chat, endpoint: str) -> list[dict]:
    """Returns the messages that were acknowledged meanwhile."""
    with step("the archives are stopped"):
        archives.command("stop", "postfix")
    try:
        messages = list(chat.working_day(60))
        with step(f"{len(messages)} messages are acknowledged meanwhile"):
            answer = client.post(messages)
            if answer.status != 200:
                raise node.Failed(f"POST /v1/messages: {answer.status} {answer.body}")
        with step(f"{endpoint} is tried again and again") as running:
            tries = node.eventually(lambda: enough(client.namespace, endpoint), 120, f"{TRIES} tries", pause=1)
            running.done(f"{endpoint} was tried {len(tries)} times; each is in status.retry.log")
        delivering = node.condition(node.get("archivingendpoint", endpoint, client.namespace), "Delivering")
        lines = [f"Delivering={delivering['status']}: {delivering['message']}", "", *map(row, tries)]
        block(f"What {endpoint} says of it:", "\n".join(lines))
    finally:
        with step("the archives are started"):
            archives.command("start", "postfix")
    return messages


def enough(namespace: str, endpoint: str) -> list[dict] | None:
    retry = node.get("archivingendpoint", endpoint, namespace)["status"].get("retry") or {}
    tries = retry.get("log", [])
    return tries if len(tries) >= TRIES else None


def row(entry: dict) -> str:
    return (
        f"{entry['attempt']:>3}  {entry['at']}  {entry['stage']}: {entry.get('reason', '')} {entry.get('message', '')}"
    )
