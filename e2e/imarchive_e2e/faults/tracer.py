"""Runs a program and stops it at every system call that writes below a folder, or to a socket.

  python3 tracer.py --below DIR [--log FILE] [--kill N] [--fail N [--for SECONDS] [--errno ERRNO]] [--only CALL,...] -- CMD

Calls are counted over all threads, from 1. --kill ends the program by SIGKILL at the Nth, before it happens. --fail
answers the Nth, or all from the Nth on for so many seconds, with an error; sockets are not counted then, and with --only no calls
but those. --log notes each call with what it writes, as the pickled fields of an `Event`. SIGTERM is passed on. Exits as
the program does, with 128 + N after signal N.
"""

import argparse
import errno
import os
import pickle
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import BinaryIO

if __package__:
    from . import ptrace
else:  # as a program: started often, so it takes no more than it needs
    import ptrace

SOCKET = "socket"
SYNCS = {"fsync", "fdatasync"}
TO_DESCRIPTOR = {"write", "pwrite64", "writev", "pwritev", "sendto", "sendmsg", "ftruncate", "fallocate", *SYNCS}
SENDS = {"write", "writev", "sendto", "sendmsg"}
CREATES, APPENDS = os.O_CREAT, os.O_APPEND


@dataclass
class Event:
    """A call as it begins; `done` is the same call's end, which only syncs have."""

    number: int
    at: float  # of the monotonic clock
    call: str
    path: str  # a file's, or SOCKET and its number
    other: str = ""  # a renamed file's new path
    port: int = 0  # a socket's own
    offset: int = 0
    data: bytes = b""
    size: int = 0
    done: bool = False
    failed: bool = False


def read(log: str | os.PathLike) -> Iterator[Event]:
    """What was noted in a log."""
    with open(log, "rb") as file:
        while True:
            try:
                yield Event(**pickle.load(file))
            except EOFError:
                return


@dataclass
class Plan:
    """What is done to the program, and when."""

    below: str
    kill: int = 0
    fail: int = 0
    lasts: float = 0.0  # seconds
    errno: int = errno.EIO
    only: frozenset[str] = frozenset()

    def counts(self, event: Event) -> bool:
        if not self.only:
            return not (self.fail and event.path.startswith(SOCKET))
        return event.call in self.only

    def fails(self, number: int, since_first: float) -> bool:
        """Whether the call of this number fails, so many seconds after the first that did."""
        return number == self.fail or (0 < self.fail < number and since_first < self.lasts)


class Tracer:
    """Watches one program."""

    def __init__(self, plan: Plan, log: BinaryIO | None):
        self.plan, self.log = plan, log
        self.count = 0
        self.failed_at = 0.0
        self.syncing: dict[int, Event] = {}

    def run(self, command: list[str]) -> int:
        pid = ptrace.watched(command)
        signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
        ptrace.request(ptrace.CONT, pid)
        threads = {pid}
        while True:
            tid, status = os.waitpid(-1, ptrace.WALL)
            if not os.WIFSTOPPED(status):
                if tid == pid:
                    return os.waitstatus_to_exitcode(status)
                continue
            try:
                self.stopped(tid, status, threads)
            except ProcessLookupError:
                continue  # killed meanwhile

    def stopped(self, tid: int, status: int, threads: set[int]) -> None:
        which, event = os.WSTOPSIG(status), status >> 16
        pass_on = 0
        then = ptrace.CONT
        if event == ptrace.EVENT_SECCOMP:
            then = self.entered(tid)
        elif which == ptrace.SYSCALL_STOP:
            self.left(tid)
        elif event == 0 and (which != signal.SIGSTOP or tid in threads):
            pass_on = which
        threads.add(tid)
        ptrace.request(then, tid, pass_on)

    def entered(self, tid: int) -> int:
        """At the beginning of a call; answers how the thread goes on."""
        regs = ptrace.registers(tid)
        event = look(tid, regs)
        if event is None or not (event.path.startswith(self.plan.below) or event.path.startswith(SOCKET)):
            return ptrace.CONT
        if self.plan.counts(event):
            self.count += 1
            event.number = self.count
            if self.count == self.plan.kill:
                os.kill(tid, signal.SIGKILL)
                return ptrace.CONT
            if self.count == self.plan.fail:
                self.failed_at = event.at
            event.failed = self.plan.fails(self.count, event.at - self.failed_at)
        if self.log is not None:
            self.note(tid, regs, event)
        if event.failed:
            ptrace.answer(tid, regs, self.plan.errno)
        elif event.call in SYNCS:
            self.syncing[tid] = event
            return ptrace.SYSCALL
        return ptrace.CONT

    def left(self, tid: int) -> None:
        event = self.syncing.pop(tid, None)
        if event is not None and self.log is not None:
            event.done, event.at = True, time.monotonic()
            pickle.dump(vars(event), self.log)

    def note(self, tid: int, regs: ptrace.Registers, event: Event) -> None:
        if event.path.startswith(SOCKET):
            event.port = own_port(tid, event.path)
        elif event.call in ("write", "pwrite64"):
            event.data = memory(tid, regs.rsi, regs.rdx)
        pickle.dump(vars(event), self.log)


def look(tid: int, regs: ptrace.Registers) -> Event | None:
    """What the call does; nothing when it writes nowhere."""
    call = ptrace.CALLS[regs.orig_rax]
    first, second, third, fourth = regs.arguments
    event = Event(0, time.monotonic(), call, "")
    if call in TO_DESCRIPTOR:
        event.path = opened(tid, first)
        if event.path.startswith(SOCKET):
            return event if call in SENDS else None
        match call:
            case "pwrite64":
                event.offset = fourth
            case "write":
                event.offset = position(tid, first)
            case "ftruncate":
                event.size = second
        return event
    match call:
        case "openat":
            event.path = named(tid, first, second)
            return event if third & CREATES and not os.path.exists(event.path) else None
        case "unlink" | "mkdir" | "truncate":
            event.path = named(tid, None, first)
        case "unlinkat" | "mkdirat":
            event.path = named(tid, first, second)
        case "rename":
            event.path, event.other = named(tid, None, first), named(tid, None, second)
        case "renameat" | "renameat2":
            event.path, event.other = named(tid, first, second), named(tid, third, fourth)
    return event


def opened(tid: int, descriptor: int) -> str:
    try:
        return os.readlink(f"/proc/{tid}/fd/{descriptor}")
    except OSError:
        return ""


@cache
def own_port(tid: int, socket: str) -> int:
    """Of a TCP socket over IPv4, by the number in its name."""
    number = socket.strip("socket:[]")
    with open(f"/proc/{tid}/net/tcp") as table:
        rows = [line.split() for line in table]
    return next((int(row[1].rpartition(":")[2], 16) for row in rows[1:] if row[9] == number), 0)


def position(tid: int, descriptor: int) -> int:
    try:
        with open(f"/proc/{tid}/fdinfo/{descriptor}") as facts:
            lines = dict(line.split(":", 1) for line in facts if ":" in line)
    except FileNotFoundError:
        return 0  # an eventfd of a thread that another one kills: it goes nowhere
    if int(lines["flags"], 8) & APPENDS:
        return os.stat(f"/proc/{tid}/fd/{descriptor}").st_size
    return int(lines["pos"])


def named(tid: int, folder: int | None, at: int) -> str:
    name = memory(tid, at, 4096, partly=True).split(b"\0")[0].decode(errors="replace")
    below = None if folder is None else signed(folder)
    base = os.readlink(f"/proc/{tid}/cwd") if below is None or below < 0 else opened(tid, below)
    return os.path.normpath(os.path.join(base, name))


def signed(register: int) -> int:
    """A descriptor is 32 bits of the register; AT_FDCWD is negative."""
    low = register & 0xFFFFFFFF
    return low - (1 << 32) if low >> 31 else low


def memory(tid: int, at: int, size: int, partly: bool = False) -> bytes:
    with open(f"/proc/{tid}/mem", "rb", buffering=0) as file:
        if not partly:
            return os.pread(file.fileno(), size, at)
        found = b""
        while len(found) < size and b"\0" not in found:  # never over a page that may be the last
            step = min(256 - (at + len(found)) % 256, size - len(found))
            found += os.pread(file.fileno(), step, at + len(found))
        return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--below", required=True)
    parser.add_argument("--log")
    for number in ("--kill", "--fail"):
        parser.add_argument(number, type=int, default=0)
    parser.add_argument("--for", dest="lasts", type=float, default=0.0)
    parser.add_argument("--errno", default="EIO")
    parser.add_argument("--only", default="")
    parser.add_argument("command", nargs="+")
    asked = parser.parse_args()
    only = frozenset(filter(None, asked.only.split(",")))
    plan = Plan(asked.below, asked.kill, asked.fail, asked.lasts, getattr(errno, asked.errno), only)
    log = open(asked.log, "wb") if asked.log else None
    tracer = Tracer(plan, log)
    code = tracer.run(asked.command)
    if log is not None:
        log.close()
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
