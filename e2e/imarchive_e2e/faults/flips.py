"""A spool of which one bit is another: harmless, or detected; and never is anything wrong delivered."""

import json
import os
import random
import shutil
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..archives import mailbox
from ..audit import Audit, wrong_form
from ..books import Sent
from ..chat import Chat
from ..node import eventually
from . import workload
from .cuts import MEMORY
from .local import Check, Local, fsck
from .run import Outcome, Place, hand_in

SPOOL = "spool.db"
HARMLESS, DETECTED, UNREADABLE, UNSEEN = "harmless", "detected", "unreadable", "unseen"
CODES = {0: HARMLESS, 1: DETECTED, 2: UNREADABLE}
ENDS = {None, 0, 3, 4}  # what a start on a damaged spool may come to; None: it goes on
HEADER = 100  # bytes, of the file


@dataclass
class Original:
    """A stopped archiver's spool, as one file, with messages delivered, sealed and still in windows."""

    content: bytes
    sent: Sent
    rows: dict[str, list] = field(default_factory=dict)


def original(place: Place) -> Original:
    sent, chat = Sent(), Chat()
    with place.local(0) as (local, sink):
        local.start()
        hand_in(local, workload.requests(6, 0, chat), sent)
        local.drained()
        sink.refusing = True
        hand_in(local, [list(chat.working_day(6))], sent)
        eventually(lambda: "a delivery failed" in (local.folder / "log").read_text(), 20, "a refusal", pause=0.1)
        local.stop()
        lengthen(local, sink.port, "1h")
        local.start()
        hand_in(local, [list(chat.working_day(6))], sent)
        local.stop()
        file = local.spool / SPOOL
        with sqlite3.connect(file) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        found = Original(file.read_bytes(), sent)
        assert fsck(local.spool).code == 0
    place.forget(0)
    found.rows = rows(found.content, "original")
    return found


def lengthen(local: Local, port: int, window: str) -> None:
    for thing in workload.resources(port, window):
        name = f"{thing['kind']}-{thing['metadata']['name']}.yaml".lower()
        (local.folder / "resources" / name).write_text(json.dumps(thing))


def rows(content: bytes, name: str) -> dict[str, list]:
    """All that can be read of it, by table."""
    folder = MEMORY / f"imarchive-rows-{os.getpid()}-{name}"
    folder.mkdir(exist_ok=True)
    file = folder / SPOOL
    file.write_bytes(content)
    connection = sqlite3.connect(file)
    try:
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall()
        return {table: connection.execute(f'SELECT * FROM "{table}"').fetchall() for (table,) in tables}
    finally:
        connection.close()
        shutil.rmtree(folder)


def flipped(content: bytes, at: int, bit: int | None = None) -> bytes:
    """One bit of that byte is another; when it is not said which, always the same one."""
    changed = bytearray(content)
    changed[at] ^= 1 << (random.Random(at).randrange(8) if bit is None else bit)
    return bytes(changed)


def checked(spool: Original, places: list[int], name: str) -> dict[int, str]:
    """What fsck says of the spool with each of these bytes flipped."""
    found = {}
    for at in places:
        content, folder = flipped(spool.content, at), MEMORY / f"imarchive-flip-{os.getpid()}-{name}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / SPOOL).write_bytes(content)
        check: Check = fsck(folder)
        shutil.rmtree(folder)
        found[at] = CODES.get(check.code, f"exit {check.code}")
        if check.code == 0 and not same(spool, content, name):
            found[at] = UNSEEN
    return found


def same(spool: Original, content: bytes, name: str) -> bool:
    try:
        return rows(content, name) == spool.rows
    except (sqlite3.Error, UnicodeDecodeError):
        return False


def started(place: Place, spool: Original, at: int, bit: int | None = None) -> Outcome:
    """A whole start on it, twice when it ends: what it delivers is as it was handed in."""
    outcome = Outcome(at)
    try:
        with place.local(at) as (local, sink):
            (local.spool / SPOOL).write_bytes(flipped(spool.content, at, bit))
            local.restarts = False
            for _ in range(2):
                local.start()
                outcome.codes.append(settled(local))
                local.kill()
            if not set(outcome.codes) <= ENDS:
                outcome.say(f"ended with {outcome.codes}")
            outcome.wrong = list(wrongly_delivered(spool.sent, sink.taken))
    except Exception as failure:  # noqa: BLE001
        outcome.say(repr(failure))
    if not outcome.problems:
        place.forget(at)
    return outcome


def settled(local: Local) -> int | None:
    """Waits until nothing waits, or it ended, or nothing moves any more; returns its exit code if it ended."""
    before: list[dict] = []

    def still() -> bool:
        if local.has_ended():
            return True
        try:
            before.append(local.connected().now("/v1/books").body)
        except OSError:
            local.disconnect()
            return False
        return before[-1].get("waiting") == 0 or (len(before) > 15 and len({json.dumps(b) for b in before[-15:]}) == 1)

    eventually(still, 30, "an end", pause=0.1)
    return local.process.poll()


def wrongly_delivered(sent: Sent, taken: list) -> Iterator[str]:
    """What came and is not as it was handed in. Not all comes: a part was delivered before, and a part is damaged."""
    audit = Audit(sent, workload.POLICY, repeats_allowed=True)
    for endpoint, recipient in workload.RECIPIENTS.items():
        for one in taken:
            if one.recipient == recipient:
                mail = mailbox.examine(one.raw, recipient)
                problems = [*wrong_form(endpoint, mail), *audit.wrong_content(endpoint, mail)]
                yield from (problem for problem in problems if "twice" not in problem)


def inside(spool: Original, table: str, needle: bytes, further: int = 0) -> int:
    """A byte of the last of the table's blobs that have the needle, so far behind the end of it."""
    blob = [value for row in spool.rows[table] for value in row if isinstance(value, bytes) and needle in value][-1]
    at = blob.index(needle) + len(needle) + further
    piece, found = blob[at : at + 40], -1
    # Free space may hold an earlier copy, in which a flip means nothing.
    while (found := spool.content.find(piece, found + 1)) >= 0:
        if not same(spool, flipped(spool.content, found, 0), "inside"):
            return found
    raise AssertionError("the piece is on two pages")


def tally(found: dict[int, object]) -> str:
    return ", ".join(f"{number} {what}" for what, number in Counter(map(str, found.values())).most_common())
