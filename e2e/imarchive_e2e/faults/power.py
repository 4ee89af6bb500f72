"""A disk that lost its power: rebuilt from a trace, without what no fsync had made durable by then.

The strictest disk that POSIX allows. A file's bytes are durable once an fsync of that file, begun after the write, has
ended; its name is, once an fsync of its folder has. What is younger may be there or not, each part by itself.
"""

import random
from dataclasses import dataclass, field
from pathlib import Path

from .tracer import SYNCS, Event

SECTOR = 512  # what a disk writes whole
# Made anew at each start, and never made durable: the shared memory of SQLite's log, and the administration's socket.
PASSING = ("-shm", "admin.sock", "admin.sock.new")


@dataclass
class File:
    """Its durable bytes, and the calls that came after: bytes at an offset, or a size."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    covered: int = 0  # how many of those the fsync under way makes durable

    def synced(self) -> None:
        for offset, data in self.pending[: self.covered]:
            put(self.durable, offset, data)
        del self.pending[: self.covered]
        self.covered = 0

    def scattered(self, dice: random.Random) -> bytes:
        """With some of what was not durable: whole calls, and here and there a sector."""
        content = bytearray(self.durable)
        for offset, data in self.pending:
            fate = dice.random()
            if fate < 0.4:
                put(content, offset, data)
            elif fate < 0.6 and data is not None:
                for at in range(0, len(data), SECTOR):
                    if dice.random() < 0.5:
                        put(content, offset + at, data[at : at + SECTOR])
        return bytes(content)


def put(content: bytearray, offset: int, data: bytes | None) -> None:
    """Without data: the file gets this size."""
    if data is None:
        del content[offset:]
        data = b""
    content.extend(bytes(max(0, offset + len(data) - len(content))))
    content[offset : offset + len(data)] = data


class Disk:
    """One folder of files. A lying one says that an fsync is done, and does nothing."""

    def __init__(self, folder: str, lying: bool = False):
        self.folder, self.lying = folder, lying
        self.names: dict[str, File] = {}
        self.durable_names: dict[str, File] = {}
        self.naming: dict[str, File] | None = None

    def happen(self, event: Event) -> bool:
        """Takes a call; answers whether anything durable changed."""
        if event.failed or event.path.endswith(PASSING):
            return False
        if self.lying and event.call in SYNCS:
            return False
        file = self.names.get(event.path)
        match event.call:
            case "openat":
                self.names[event.path] = File()
            case "write" | "pwrite64" if file is not None:
                file.pending.append((event.offset, event.data))
            case "ftruncate" | "truncate" if file is not None:
                file.pending.append((event.size, None))
            case "unlink" | "unlinkat":
                self.names.pop(event.path, None)
            case "rename" | "renameat" | "renameat2":
                self.names[event.other] = self.names.pop(event.path)
            case "fsync" | "fdatasync":
                return self.sync(event, file)
            case "pwritev" | "fallocate":
                raise NotImplementedError(event.call)
        return False

    def sync(self, event: Event, file: File | None) -> bool:
        """Durable is what there was when it began, once it has ended."""
        if event.path == self.folder:
            if event.done and self.naming is not None:
                self.durable_names = self.naming
            self.naming = None if event.done else dict(self.names)
        elif file is not None:
            if event.done:
                file.synced()
            else:
                file.covered = len(file.pending)
        return event.done

    def strict(self) -> dict[str, bytes]:
        """All that was not durable is gone."""
        return {name: bytes(file.durable) for name, file in self.durable_names.items()}

    def lucky(self, dice: random.Random) -> dict[str, bytes]:
        """Some of it is there."""
        found: dict[str, bytes] = {}
        for name in self.names.keys() | self.durable_names.keys():
            before, after = self.durable_names.get(name), self.names.get(name)
            file = dice.choice([before, after])
            if file is not None:
                found[name] = file.scattered(dice)
        return found


def write(files: dict[str, bytes], folder: Path) -> None:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / Path(name).name).write_bytes(content)
