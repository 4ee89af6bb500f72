"""A file of messages, one JSON object a line, as requests of several hundred lines each."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import IO

LINES = 500
BYTES = 8 << 20  # half of what a request may hold by default
GZIP = b"\x1f\x8b"


def opened(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        compressed = file.read(2) == GZIP
    return gzip.open(path) if compressed else path.open("rb")


def requests_of(path: Path) -> Iterator[list[bytes]]:
    lines: list[bytes] = []
    size = 0
    with opened(path) as file:
        for line in filter(None, map(bytes.strip, file)):
            if lines and (len(lines) == LINES or size + len(line) > BYTES):
                yield lines
                lines, size = [], 0
            lines.append(line)
            size += len(line)
    if lines:
        yield lines
