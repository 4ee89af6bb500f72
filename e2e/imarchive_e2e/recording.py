"""What became of objects while nobody looked: every state that the API server told of."""

import json
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from .node import E2E


class Recording:
    """The states of the objects of a kind, by name, in their order."""

    def __init__(self, kind: str, namespace: str) -> None:
        self.states: dict[str, list[dict]] = defaultdict(list)
        self.command = [E2E / "cluster", "exec", "--", "kubectl", "get", kind, "-n", namespace, "--watch", "-o", "json"]
        self.over = False
        self.watch = self.begin()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def begin(self) -> subprocess.Popen[str]:
        return subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)

    def run(self) -> None:
        """Once more when a watch ends by itself, as it does when the definition of the kind changes."""
        while not self.over:
            with self.watch as watch:
                self.read(watch.stdout)
            time.sleep(0.2)
            self.watch = self.begin()

    def end(self) -> None:
        self.over = True
        while self.thread.is_alive():  # it may just have begun another
            self.watch.terminate()
            self.thread.join(0.1)
        self.watch.terminate()
        self.watch.communicate()

    def read(self, lines: Iterable[str]) -> None:
        """What kubectl prints: indented objects, each of which ends with a brace at a line's beginning."""
        gathered = ""
        for line in lines:
            gathered += line
            if line.startswith("}"):
                thing = json.loads(gathered)
                self.states[thing["metadata"]["name"]].append(thing)
                gathered = ""

    def of(self, name: str) -> list[dict]:
        return list(self.states[name])

    def tests(self, name: str) -> list[dict]:
        """The reports of an endpoint's tests, each once."""
        found: list[dict] = []
        for state in self.of(name):
            report = state.get("status", {}).get("test")
            if report is not None and report not in found[-1:]:
                found.append(report)
        return found


@contextmanager
def recorded(kind: str, namespace: str) -> Iterator[Recording]:
    recording = Recording(kind, namespace)
    try:
        yield recording
    finally:
        recording.end()
