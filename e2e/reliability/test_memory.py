"""Whatever is handed in, however much of it at once: it is refused or served, and the process is not killed for its memory."""

import base64
import gzip
import json
import random
import resource
import socket
import sqlite3
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from imarchive_e2e import cgroup
from imarchive_e2e.faults.local import PORT, TOKEN, Local, LocalClient, fsck
from imarchive_e2e.faults.run import Place
from imarchive_e2e.ingest import Answer
from imarchive_e2e.node import PROJECT
from imarchive_e2e.operators.size import FULL

MEBIBYTE = 1 << 20
# What docs/ingest.md asks for with the default of maxRequestBytes.
MEMORY = 256 * MEBIBYTE
LIMIT = 16 * MEBIBYTE
CONVERSATIONS = 100_000
FLOOD = 400 if FULL else 60
BOMBS = 400 if FULL else 60
CALLERS = 24
REFUSED = {413, 429, 503}
Record = Callable[[str, object], None]
NUMBER = 62_000  # of its address, apart from those of the other proofs


class Archiver:
    """An archiver in a cgroup, and all that it acknowledged."""

    def __init__(self, local: Local, memory: cgroup.Bound):
        self.local, self.memory = local, memory
        self.acknowledged: set[str] = set()
        self.answers: Counter[int] = Counter()
        self.resident = 0

    def client(self) -> LocalClient:
        return LocalClient(self.local.address, self.local.spool / "ca.crt")

    def ask(self, body: bytes, lines: bool = False, packed: bool = False, ids: list[str] | None = None) -> Answer:
        """One request over a connection of its own; what it acknowledges is remembered."""
        client = self.client()
        kind = "application/x-ndjson" if lines else "application/json"
        headers = {**client.authorization(), "Content-Type": kind, **({"Content-Encoding": "gzip"} if packed else {})}
        try:
            answer = client.once("POST", "/v1/messages", body, headers)
        except Exception:
            self.is_unharmed()
            raise
        finally:
            client.close()
        self.answers[answer.status] += 1
        if answer.status == 200:
            self.acknowledged.update(ids or [])
        if answer.status == 503:
            assert int(answer.headers["retry-after"]) > 0
        return answer

    def serves(self) -> None:
        """A message is taken, at most after a while."""
        name = f"sign-of-life-{len(self.acknowledged)}"
        answer = self.local.insist(lambda client: client.request([message(name, "r", "still there?")]))
        assert answer.status == 200, answer.body
        self.acknowledged.add(name)

    def is_unharmed(self) -> None:
        self.resident = max(self.resident, self.memory.resident())
        assert self.memory.kills() == 0
        assert not self.local.has_ended(), self.local.process.returncode


def message(name: str, room: str, text: str, **more: object) -> dict:
    alice = {"address": "alice@acme.example"}
    conversation = {"type": "room", "id": room}
    said = {"sender": alice, "sentAt": "2026-11-23T09:15:02.123Z", "text": text}
    return {"source": "acme-chat", "id": name, "kind": "message", "conversation": conversation, **said, **more}


def environment_of_the_image() -> Iterator[tuple[str, str]]:
    for line in (PROJECT / "Dockerfile").read_text().splitlines():
        if line.startswith("ENV "):
            yield from (word.split("=") for word in line.split()[1:])


@pytest.fixture(scope="module")
def archiver(place: Place) -> Iterator[Archiver]:
    # For both: a connection is a file on either side.
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with place.local(NUMBER, window="1h") as (local, _), cgroup.bound("memory", MEMORY) as memory:
        with pytest.MonkeyPatch.context() as environment:
            for name, value in environment_of_the_image():
                environment.setenv(name, value)
            local.start()
        try:
            memory.take(local.process.pid)
            yield Archiver(local, memory)
        finally:
            local.kill()


def all_at_once(play: Callable[[int], Answer], number: int) -> list[Answer]:
    with ThreadPoolExecutor(CALLERS) as pool:
        return list(pool.map(play, range(number)))


def test_a_hundred_thousand_conversations_are_open(archiver: Archiver, record_property: Record) -> None:
    archiver.serves()

    def open_some(first: int) -> None:
        names = [f"open-{number}" for number in range(first, min(first + 1000, CONVERSATIONS))]
        lines = "\n".join(json.dumps(message(name, name, "hello")) for name in names)
        assert archiver.ask(lines.encode(), lines=True, ids=names).status == 200

    before = archiver.memory.resident()
    for first in range(0, CONVERSATIONS, 1000):
        open_some(first)
    each = (archiver.memory.resident() - before) / CONVERSATIONS
    record_property("memory of an open conversation", f"{each:.0f} bytes")
    archiver.is_unharmed()


def test_what_is_large_only_when_unpacked_is_refused(archiver: Archiver) -> None:
    bombs = [gzip.compress(b" " * (1 << 30 if FULL else 1 << 28), 6), gzip.compress(b"[" * (LIMIT + 1), 6)]
    answers = all_at_once(lambda number: archiver.ask(bombs[number % 2], packed=True), BOMBS)
    assert {answer.status for answer in answers} <= REFUSED
    assert any(answer.problem == "too-large" for answer in answers)
    archiver.is_unharmed()
    archiver.serves()


def test_a_flood_of_the_largest_requests_is_taken_as_far_as_there_is_room(archiver: Archiver) -> None:
    content = base64.b64encode(random.Random(1).randbytes(11 * MEBIBYTE)).decode()
    scan = {"name": "scan.tiff", "mediaType": "image/tiff", "content": content}
    body = json.dumps(message("flood-NUMBER", "flood", "all of it", attachments=[scan])).encode()
    name = body.index(b"flood-NUMBER")

    def pour(number: int) -> Answer:
        unique = f"flood-{number:06}"
        return archiver.ask(body[:name] + unique.encode() + body[name + 12 :], ids=[unique])

    answers = all_at_once(pour, FLOOD)
    assert {answer.status for answer in answers} <= {200, *REFUSED}
    assert any(answer.status == 200 for answer in answers)
    archiver.is_unharmed()
    archiver.serves()


def test_json_that_takes_far_more_memory_than_its_text_is_refused(archiver: Archiver) -> None:
    def with_more(more: bytes) -> bytes:
        plain = json.dumps(message("odd", "r", "odd")).encode()
        return plain[:-1] + b', "more": ' + more + b"}"

    odd = [
        with_more(b"[" * 200_000 + b"]" * 200_000),
        b"[" * (LIMIT - 1),
        with_more(b"[" + b'{"a":1},' * (LIMIT // 8 - 1000) + b"1]"),
        with_more(b"[" + b"[]," * (LIMIT // 3 - 1000) + b"1]"),
        with_more(b"{" + b",".join(b'"%x":{"":{}}' % number for number in range(800_000)) + b"}"),
        b"[" + b"1," * (LIMIT // 2 - 10) + b"1]",
        b"1\n" * (LIMIT // 2),
        json.dumps({**message("odd", "r", "odd"), "kind": "x" * (LIMIT - 1000)}).encode(),
        with_more(b"1" * (LIMIT - 1000)),
    ]
    answers = all_at_once(lambda number: archiver.ask(odd[number % len(odd)], lines=number % len(odd) == 6), 4 * len(odd))
    assert {answer.status for answer in answers} <= {400, *REFUSED}
    assert all(len(json.dumps(answer.body)) < 100_000 for answer in answers)
    archiver.is_unharmed()
    archiver.serves()


def test_very_many_small_messages_in_one_request_are_taken(archiver: Archiver) -> None:
    names = [f"small-{number}" for number in range(80_000)]
    body = "\n".join(json.dumps(message(name, "small", ""), separators=(",", ":")) for name in names).encode()
    assert len(body) <= LIMIT
    answer = archiver.local.insist(lambda _: archiver.ask(gzip.compress(body, 1), lines=True, packed=True, ids=names))
    assert answer.status == 200, answer.body
    archiver.is_unharmed()


def test_callers_who_say_nothing_more_take_nothing_from_others(archiver: Archiver) -> None:
    def connected(stack: ExitStack) -> socket.socket:
        return stack.enter_context(socket.create_connection((archiver.local.address, PORT), 20))

    trust = ssl.create_default_context(cafile=archiver.local.spool / "ca.crt")
    head = f"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n"
    body = f"{head}Content-Type: application/json\r\nContent-Length: {LIMIT}\r\n\r\n[".encode() + b" " * 50_000
    with ExitStack() as stack:
        for number in range(600):
            slow = stack.enter_context(trust.wrap_socket(connected(stack), server_hostname="localhost"))
            slow.sendall(body if number % 2 else head.encode())
        archiver.serves()
        archiver.is_unharmed()
    with ExitStack() as stack:
        for _ in range(4000):
            connected(stack)
        time.sleep(1)
        archiver.is_unharmed()
    archiver.serves()


def test_what_was_acknowledged_is_there(archiver: Archiver, record_property: Record) -> None:
    assert archiver.local.books()["acknowledged"] == len(archiver.acknowledged)
    archiver.is_unharmed()
    record_property("memory between attacks", f"{archiver.resident // MEBIBYTE} MiB at most, of {MEMORY // MEBIBYTE}")
    record_property("answers", dict(sorted(archiver.answers.items())))
    assert archiver.local.stop() == 0
    check = fsck(archiver.local.spool)
    assert check.code == 0, check.words
    with sqlite3.connect(archiver.local.spool / "spool.db") as spool:
        found = {name for (name,) in spool.execute("SELECT id FROM ledger")}
    spool.close()
    assert found == archiver.acknowledged
