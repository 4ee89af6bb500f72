"""A bound on the memory of a process, as a container has one: a cgroup, of either version."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

UNIFIED = Path("/sys/fs/cgroup")
SEPARATE = UNIFIED / "memory"
# Each version's words for the bound, for the most that was taken, and for where the kernel counts what it killed.
UNIFIED_FILES = ("memory.max", "memory.peak", "memory.events")
SEPARATE_FILES = ("memory.limit_in_bytes", "memory.max_usage_in_bytes", "memory.oom_control")


@dataclass(frozen=True)
class Bound:
    """The cgroup: whoever is in it has so much memory, page cache included, and is killed rather than given more."""

    folder: Path
    limit: Path
    most: Path
    events: Path

    def take(self, process: int) -> None:
        (self.folder / "cgroup.procs").write_text(str(process))

    def peak(self) -> int:
        """The most that was in use at once, page cache included, in bytes."""
        return int(self.most.read_text())

    def resident(self) -> int:
        """What its processes have in use that is no file's, in bytes."""
        words = dict(line.split() for line in (self.folder / "memory.stat").read_text().splitlines())
        return int(words.get("total_rss") or words["anon"])

    def kills(self) -> int:
        """How many processes the kernel killed for want of memory."""
        return int(dict(line.split() for line in self.events.read_text().splitlines()).get("oom_kill", 0))


@contextmanager
def bound(name: str, size: int) -> Iterator[Bound]:
    """A new cgroup that goes with its last process, which must have ended by then."""
    separate = (SEPARATE / "cgroup.procs").exists()
    root, files = (SEPARATE, SEPARATE_FILES) if separate else (UNIFIED, UNIFIED_FILES)
    if not separate:
        (root / "cgroup.subtree_control").write_text("+memory")
    folder = root / f"imarchive-{name}-{os.getpid()}"
    folder.mkdir()
    try:
        made = Bound(folder, *(folder / file for file in files))
        made.limit.write_text(str(size))
        yield made
    finally:
        folder.rmdir()
