"""What is handed in during a run: some dozens of messages of all kinds, for two archives, with one file over 1 MiB."""

import random

from ..books import Policy
from ..chat import ALICE, CAROL, FRANK, SOURCE, Chat, attached
from ..objects import DOMAIN, archiver, assignment, endpoint

LARGE = 1_100_000  # bytes: more than one chunk of the spool
WINDOW = "300ms"
QUICK = {"ladder": ["200ms"], "interval": "200ms"}
RECIPIENTS = {"journal": "acme@journal.archive.example", "vault": "acme@vault.archive.example"}
POLICY = Policy({DOMAIN}, {FRANK: "vault"}, "journal")
Request = list[dict]


def resources(port: int, window: str = WINDOW) -> list[dict]:
    """Frank is archived elsewhere than everybody else; both archives are behind `port`."""

    def at(name: str, default: bool) -> dict:
        server = {"host": "localhost", "port": port, "recipients": [RECIPIENTS[name]], "credentialsSecretRef": None}
        return endpoint(name, server, default=default, batching={"window": window}, retry=QUICK)

    objects = [archiver(), at("journal", True), at("vault", False), assignment("frank", "vault", [FRANK])]
    # A file has no API server to say which is older.
    return [{**one, "metadata": {**one["metadata"], "creationTimestamp": "2026-11-23T09:00:00Z"}} for one in objects]


def requests(exchanges: int = 20, large: int = LARGE, chat: Chat | None = None) -> list[Request]:
    """In the order in which they are handed in, one after the other."""
    chat = chat or Chat()
    messages = [*chat.trading_floor(), *chat.working_day(exchanges), *chat.outsiders()]
    found = [messages[at : at + 4] for at in range(0, len(messages), 4)]
    if large:
        scan = attached("scan.tiff", "image/tiff", random.Random(1).randbytes(large))
        found.insert(len(found) // 2, [chat.direct(ALICE, CAROL, "The plans", attachments=[scan])])
    return found


__all__ = ["POLICY", "RECIPIENTS", "SOURCE", "requests", "resources"]
