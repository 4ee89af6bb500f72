"""An archiver of this machine, with one endpoint and one caller."""

import http.client
import json
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from ..node import Failed
from ..operators.process import free_port
from .tool import ARCHIVER, bench

TOKEN = "hunter2"
READY = 120.0  # seconds
RESOURCES = """
apiVersion: imarchive.dev/v1alpha1
kind: Archiver
metadata: {{name: archiver}}
spec: {{organization: {{name: Acme, domains: [acme.example]}}}}
---
apiVersion: imarchive.dev/v1alpha1
kind: ArchivingEndpoint
metadata: {{name: journal}}
spec:
  type: SecureSMTP
  suspend: {suspend}
  batching: {{window: {window}}}
  delivery: {{maxConnections: {connections}}}
  smtp: {{host: localhost, port: {port}, from: archive@acme.example, recipients: [acme@localhost]}}
"""


class Archiver:
    """Its folder, and the process while there is one."""

    def __init__(self, home: Path):
        self.home, self.spool = home, home / "spool"
        self.https, self.metrics = free_port(), free_port()
        self.process: subprocess.Popen | None = None
        for folder in ("resources", "credentials", "tokens", "spool"):
            (home / folder).mkdir(parents=True, exist_ok=True)
        (home / "tokens/bench").write_text(TOKEN)
        self.declare()

    def declare(self, *, port: int = 9, window: str = "8h", suspend: bool = False, connections: int = 4) -> None:
        text = RESOURCES.format(port=port, window=window, suspend=str(suspend).lower(), connections=connections)
        draft = self.home / "draft.yaml"
        draft.write_text(text)
        draft.rename(self.home / "resources/acme.yaml")

    def start(self, roots: Path | None = None) -> float:
        """Starts it; answers the seconds until it says that it is ready and takes a message."""
        words = [str(ARCHIVER), "run", "--listen", f"127.0.0.1:{self.https}", "--metrics", f"127.0.0.1:{self.metrics}"]
        for option in ("resources", "spool", "credentials", "tokens"):
            words += [f"--{option}", str(self.home / option)]
        if roots:
            words += ["--extra-roots", str(roots)]
        begun = time.monotonic()
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(words, stderr=log)
        while not (self.ready() and self.takes()):
            if self.process.poll() is not None or time.monotonic() - begun > READY:
                raise Failed(f"the archiver does not start: {(self.home / 'log').read_text()[-2000:]}")
            time.sleep(0.002)
        return time.monotonic() - begun

    def ready(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.metrics}/readyz", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def takes(self) -> bool:
        """Posts a message to nobody that is archived, which is durable all the same."""
        person = {"address": "somebody@elsewhere.example"}
        message = {"source": "bench", "id": f"ready-{time.time_ns()}", "kind": "message", "sender": person}
        message |= {"conversation": {"type": "room", "id": "r"}, "sentAt": "2026-11-23T09:15:02Z", "text": "ready?"}
        status, _ = self.request("POST", "/v1/messages", json.dumps(message))
        return status == 200

    def request(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        context = ssl.create_default_context(cafile=str(self.spool / "ca.crt"))
        connection = http.client.HTTPSConnection("localhost", self.https, context=context, timeout=60)
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return 0, b""
        finally:
            connection.close()

    def books(self) -> dict:
        status, body = self.request("GET", "/v1/books")
        if status != 200:
            raise Failed(f"the books are not told: {status}")
        return json.loads(body)

    def load(self, **options: int) -> dict:
        """Hands messages in, as fast as they are acknowledged."""
        ca = self.spool / "ca.crt"
        return bench("load", address=f"127.0.0.1:{self.https}", ca=ca, token=TOKEN, **options)

    def memory(self) -> tuple[float, float]:
        """Resident and proportional, in MiB."""
        assert self.process is not None
        lines = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines()
        sizes = {line.split()[0]: int(line.split()[1]) / 1024 for line in lines[1:]}
        return sizes["Rss:"], sizes["Pss:"]

    def processor(self) -> float:
        """The seconds of processor that it used so far."""
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def kill(self) -> None:
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def archiver(home: Path) -> Iterator[Archiver]:
    """In a folder that goes with it."""
    one = Archiver(home)
    try:
        yield one
    finally:
        one.kill()
        shutil.rmtree(home)
