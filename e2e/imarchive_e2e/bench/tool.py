"""The programs that measure: the archiver, and the example `bench` of its crate."""

import json
import subprocess
from os import environ
from pathlib import Path
from typing import Any

from ..node import CACHE, Failed

RELEASE = Path(environ.get("CARGO_TARGET_DIR") or CACHE / "target") / "x86_64-unknown-linux-gnu/release"
ARCHIVER = RELEASE / "archiver"
BENCH = RELEASE / "examples/bench"


def command(name: str, **options: Any) -> list[str]:
    """`bench NAME` with its options; True is a flag, None is left out."""
    words = [str(BENCH), name]
    for option, value in options.items():
        if value is not None and value is not False:
            words += [f"--{option}"] if value is True else [f"--{option}", str(value)]
    return words


def bench(name: str, **options: Any) -> dict:
    """Runs it to its end; answers what it found."""
    done = subprocess.run(command(name, **options), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"bench {name}: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


class Server:
    """A sink or a proxy, on a port of its own, until the block ends."""

    def __init__(self, name: str, **options: Any):
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command(name, **options), stdin=pipe, stdout=pipe, text=True)
        self.port: int = self.answer()["port"]

    def answer(self) -> dict:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, line: str = "") -> dict:
        """A sink's counts; `reset` begins them anew."""
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.answer()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
