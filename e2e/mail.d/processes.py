"""Starts and stops Postfix and Dovecot, each in a mount namespace where DIR is /srv.

So DIR may be below a closed home directory, where their unprivileged processes could not go, and its path may be longer
than that of a socket. It also tells whose a process is: one in the mount namespace of our Postfix or Dovecot.
"""

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from layout import SRV

PATIENCE = 20  # seconds that a server may take to stop, or a port to open or close


class Failed(Exception):
    """What the person who ran the command should read."""


@dataclass(frozen=True)
class Server:
    name: str
    start: tuple[str, ...]
    pid_file: str
    log: str


SERVERS = {
    "postfix": Server(
        "postfix", ("postfix", "-c", f"{SRV}/postfix/config", "start"), "postfix/queue/pid/master.pid", "postfix/log"
    ),
    "dovecot": Server(
        "dovecot", ("dovecot", "-c", f"{SRV}/dovecot/dovecot.conf"), "dovecot/run/master.pid", "dovecot/log"
    ),
}


def start(directory: Path, server: Server, netns: str | None) -> None:
    into_netns = ["nsenter", f"--net=/var/run/netns/{netns}"] if netns else []
    mount = f'cd / && mount --bind "$0" {SRV} && readlink /proc/self/ns/mnt >{SRV}/{server.name}.namespace && exec "$@"'
    with_srv = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", mount, str(directory)]
    # After a crash the old pid may be a zombie, or somebody else's: Dovecot would believe that it still runs.
    (directory / server.pid_file).unlink(missing_ok=True)
    # Into a file, not a pipe: the server keeps it open, and whoever reads our output would wait for the server.
    with open(directory / f"{server.name}.start", "w") as output:
        done = subprocess.run(
            into_netns + with_srv + list(server.start), stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    if done.returncode != 0:
        raise Failed(f"{server.name} did not start:\n{why(directory, server)}")
    # Dovecot writes its pid down only after the command has returned.
    if not eventually(lambda: master_pid(directory, server)):
        raise Failed(f"{server.name} started, but wrote no pid:\n{why(directory, server)}")


def why(directory: Path, server: Server) -> str:
    files = [directory / f"{server.name}.start", directory / server.log]
    lines = [line for file in files if file.exists() for line in file.read_text().splitlines()]
    return "\n".join(lines[-15:])


def master_pid(directory: Path, server: Server) -> int | None:
    """The pid that the server wrote down, if that is still a process of ours."""
    try:
        pid = int((directory / server.pid_file).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return pid if sees(pid, directory) else None


def stop(directory: Path, server: Server) -> None:
    """Returns when the server and all its children are gone; killed are those that do not go, or outlived a crash."""
    family = family_of(directory, server)
    pid = master_pid(directory, server)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        eventually(lambda: not processes_in(family))
    for process in processes_in(family):
        os.kill(process, signal.SIGKILL)
    if not eventually(lambda: not processes_in(family)):
        raise Failed(f"{server.name} is still there: {processes_in(family)}")


def family_of(directory: Path, server: Server) -> str | None:
    """The mount namespace of the server, while one of its processes proves that it is still that of our server."""
    try:
        recorded = (directory / f"{server.name}.namespace").read_text().strip()
    except FileNotFoundError:
        return None
    return recorded if any(sees(pid, directory) for pid in processes_in(recorded)) else None


def sees(pid: int, directory: Path) -> bool:
    """Whether the process has the directory as its /srv."""
    try:
        return os.path.samefile(f"/proc/{pid}/root{SRV}", directory)
    except OSError:  # gone, or a zombie, or not ours to look into
        return False


def mount_namespace(pid: int) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/mnt")
    except OSError:
        return None


def processes_in(namespace: str | None) -> list[int]:
    if namespace is None:
        return []
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and mount_namespace(int(name)) == namespace]


def processes_named(directory: Path, server: Server, name: str) -> set[int]:
    return {pid for pid in processes_in(family_of(directory, server)) if name_of(pid) == name}


def kill_sessions(directory: Path, server: Server, port: int) -> None:
    """Ends what still serves the port, as a server that goes down does."""
    for pid in processes_in(family_of(directory, server)):
        with suppress(OSError):  # gone meanwhile
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            if any(word.endswith(f":{port}".encode()) for word in words[1:]):
                os.kill(pid, signal.SIGKILL)


def name_of(pid: int) -> str | None:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return None


def is_listening(pid: int, port: int) -> bool:
    """Whether a socket listens on the port in the network namespace of the process."""
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                return True
    return False


def eventually(holds) -> bool:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
