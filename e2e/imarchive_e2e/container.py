"""The archiver's process in its pod, found without the API server: by its name, in the cgroup of exactly this pod."""

import os
import signal
from pathlib import Path

from . import node


class Container:
    """Of the pod with this UID."""

    def __init__(self, pod: str):
        self.pod = pod

    def pid(self) -> int:
        """Raises ValueError while there is none."""
        processes = (entry for entry in Path("/proc").iterdir() if entry.name.isdigit())
        (pid,) = [int(process.name) for process in processes if self.is_it(process)]
        return pid

    def is_it(self, process: Path) -> bool:
        try:
            cgroup, name = (process / "cgroup").read_text(), (process / "comm").read_text().strip()
        except OSError:  # gone meanwhile
            return False
        return name == "archiver" and self.pod in cgroup

    def kill(self) -> None:
        """Returns once another process is in its place."""
        pid = self.pid()
        os.kill(pid, signal.SIGKILL)

        def replaced() -> bool:
            try:
                return self.pid() != pid
            except ValueError:  # none at the moment
                return False

        node.eventually(replaced, 60, "the container is restarted", pause=0.2)
