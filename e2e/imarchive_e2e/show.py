"""What the person who watches sees: one line a step, with a tick and its seconds."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

WIDTH = 88
QUIET = 10.0  # seconds between signs of life where lines cannot be rewritten


class Step:
    """A step under way: `say` tells how far it came, `done` what is left to read of it."""

    def __init__(self, text: str):
        self.text, self.begun, self.shown = text, time.monotonic(), time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self.begun

    def say(self, text: str) -> None:
        self.text = text
        if sys.stdout.isatty():
            print(f"\r\033[K  …  {text}", end="", flush=True)
        elif time.monotonic() - self.shown > QUIET:
            self.shown = time.monotonic()
            print(f"  …  {text}", flush=True)

    def done(self, text: str) -> None:
        self.text = text

    def end(self, mark: str) -> None:
        again = "\r\033[K" if sys.stdout.isatty() else ""
        print(f"{again}  {mark}  {self.text:<{WIDTH}} {self.seconds():5.1f} s", flush=True)


@contextmanager
def step(text: str) -> Iterator[Step]:
    running = Step(text)
    running.say(text)
    try:
        yield running
    except BaseException:
        running.end("✗")
        raise
    running.end("✓")


def block(title: str, text: str) -> None:
    """Something to read, set off from the steps."""
    print(f"\n{title}\n")
    for line in text.rstrip().splitlines():
        print(f"    {line}".rstrip())
    print(flush=True)
