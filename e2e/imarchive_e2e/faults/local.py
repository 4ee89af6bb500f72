"""An archiver of one's own: `archiver run` with a folder of resources, on an address of loopback that no other has."""

import http.client
import json
import os
import shutil
import signal
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from ..ingest import Answer, Client, Connection
from ..node import CACHE, Failed
from . import workload

TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or CACHE / "target")
PROGRAM = Path(os.environ.get("IMARCHIVE_ARCHIVER") or TARGET / "x86_64-unknown-linux-gnu/release/archiver")
TRACER = Path(__file__).with_name("tracer.py")
TOKEN = "a-token-of-the-tests"
PORT = 8443
PATIENCE = 60  # seconds in which all that is asked of an archiver happens


class LocalClient(Client):
    """The chat system of an archiver on this machine."""

    def __init__(self, address: str, authority: Path):
        self.name, self.address, self.timeout = "localhost", address, 20
        self.trust = ssl.create_default_context(cafile=authority)
        self.connection = None

    def connect(self) -> Connection:
        return Connection(self.name, self.address, self.trust, self.timeout, PORT)

    def authorization(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {TOKEN}"}

    def request(self, messages: list[dict]) -> Answer:
        body = json.dumps(messages).encode()
        return self.once("POST", "/v1/messages", body, {**self.authorization(), "Content-Type": "application/json"})

    def now(self, path: str) -> Answer:
        return self.once("GET", path, None, self.authorization())


@dataclass
class Check:
    """What `archiver spool fsck` found."""

    code: int
    books: dict
    words: str


@dataclass
class End:
    """How a process ended, and what its spool held then."""

    code: int
    at: float
    check: Check
    delivered: set[str] = field(default_factory=set)  # Message-IDs


def fsck(folder: Path) -> Check:
    done = subprocess.run([PROGRAM, "spool", "fsck", folder], capture_output=True, text=True, timeout=PATIENCE)
    books = json.loads(done.stdout) if done.stdout.strip() else {}
    return Check(done.returncode, books, done.stderr)


class Local:
    """In `folder`, with the archives behind a sink's port."""

    def __init__(self, folder: Path, sink_port: int, authority: Path, window: str = workload.WINDOW):
        self.folder, self.authority = folder, authority
        self.spool = folder / "spool"
        # All of 127.0.0.0/8 is this machine: ports need not be looked for.
        self.address = "127.%d.%d.%d" % tuple(1 + byte % 250 for byte in sha256(bytes(folder)).digest()[:3])
        for name in ("resources", "credentials", "tokens", "spool"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "tokens" / workload.SOURCE).write_text(TOKEN)
        for thing in workload.resources(sink_port, window):
            name = f"{thing['kind']}-{thing['metadata']['name']}.yaml".lower()
            (folder / "resources" / name).write_text(json.dumps(thing))  # JSON is YAML
        self.process: subprocess.Popen | None = None
        self.client: LocalClient | None = None
        self.ends: list[End] = []
        self.restarts = True  # whether a process that ended is followed by another
        self.refused = 0  # requests that were answered 503

    def start(self, *trace: str) -> None:
        """With arguments: under the tracer."""
        command = [
            *(PROGRAM, "run", "--resources", self.folder / "resources", "--spool", self.spool),
            *("--credentials", self.folder / "credentials", "--tokens", self.folder / "tokens"),
            *("--extra-roots", self.authority),
            *("--listen", f"{self.address}:{PORT}", "--metrics", f"{self.address}:9090"),
        ]
        if trace:
            command = [sys.executable, "-S", TRACER, "--below", self.spool, *trace, "--", *command]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen([str(word) for word in command], stderr=log)

    def has_ended(self) -> bool:
        return self.process is not None and self.process.poll() is not None

    def insist(self, ask: Callable[[LocalClient], Answer], patience: float = PATIENCE) -> Answer:
        """Asks until there is an answer other than 503. A process that ended is looked after, and started again."""
        deadline = time.monotonic() + patience
        why = "it never listened"
        while time.monotonic() < deadline:
            if self.has_ended():
                if not self.restarts:
                    raise Failed(f"{self.folder.name} ended: exit {self.process.returncode}")
                self.bury()
                self.start()
            try:
                answer = ask(self.connected())
                if answer.status != 503:
                    return answer
                why = f"503 {answer.body}"
                self.refused += 1
                if "retry-after" not in answer.headers:
                    raise Failed(f"503 without Retry-After: {answer.body}")
            except (OSError, http.client.HTTPException) as error:
                why = repr(error)
                self.disconnect()  # and reads the authority again: it may have been made only now
            time.sleep(0.02)
        raise Failed(f"{self.folder.name}: {why}")

    def connected(self) -> LocalClient:
        """A client that trusts the authority of this spool; raises while there is none."""
        authority = self.spool / "ca.crt"
        if self.client is None:
            self.client = LocalClient(self.address, authority)
        return self.client

    def books(self) -> dict[str, int]:
        return self.insist(lambda client: client.now("/v1/books")).body

    def hand_in(self, messages: list[dict]) -> Answer:
        return self.insist(lambda client: client.request(messages))

    def drained(self, patience: float = PATIENCE) -> dict[str, int]:
        """Waits until nothing waits any more."""
        deadline = time.monotonic() + patience
        while (books := self.books())["waiting"] > 0:
            if time.monotonic() > deadline:
                raise Failed(f"{self.folder.name}: still waiting: {books}")
            time.sleep(0.05)
        return books

    def stop(self) -> int:
        """As Kubernetes does; returns how it ended."""
        self.disconnect()
        if not self.has_ended():
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def kill(self) -> None:
        """Whatever it does: nothing is left behind."""
        self.disconnect()
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def bury(self) -> End:
        """Looks at a copy of what an ended process left: the next one shall find it as it is."""
        self.disconnect()
        code = self.process.wait(PATIENCE)
        copy = self.folder / f"left-{len(self.ends)}"
        copied(self.spool, copy)
        end = End(code, time.monotonic(), fsck(copy))
        if end.check.code != 2:
            end.delivered = delivered(copy)
        shutil.rmtree(copy)
        self.ends.append(end)
        return end

    def disconnect(self) -> None:
        if self.client is not None:
            self.client.close()
            self.client = None


def copied(spool: Path, to: Path) -> None:
    """The database and its log; not the index of the log, which is memory that a dead process shared."""
    to.mkdir()
    for file in spool.glob("spool.db*"):
        if not file.name.endswith("-shm"):
            shutil.copyfile(file, to / file.name)


def delivered(spool: Path) -> set[str]:
    """The Message-IDs of what the spool says is delivered."""
    with sqlite3.connect(spool / "spool.db") as connection:
        rows = connection.execute("SELECT message_id FROM batch WHERE state = 'delivered'").fetchall()
    connection.close()
    return {row[0].strip("<>") for row in rows}
