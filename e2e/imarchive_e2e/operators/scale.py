"""How the operator grows with the resources: its start, its memory, its writes for one change. Prints a table."""

import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from .. import archives, node, objects
from ..node import Failed, eventually, kubectl
from .process import Kit, Operator, chart_operator_away, rights_to_lease

ASSIGNMENTS, ENDPOINTS, USERS = 100, 200, 100  # users in each assignment
LOGIN = "scale@journal.archive.example"
STILL = 8.0  # seconds without a write: all is said
LONGEST = 3600.0  # seconds for the tests of all endpoints, of which ten run at once


@dataclass
class Row:
    """What was measured at one size."""

    users: int
    assignments: int
    endpoints: int
    first_sync: float  # seconds, the tests of all endpoints included
    first_writes: int
    restart: float  # seconds from the start of the process until it reconciled everything
    restart_writes: int
    memory: float  # MiB, proportional set size, at rest
    processor: float  # seconds, for the restart
    change: float  # seconds until the last write for one changed assignment
    change_writes: list[str]

    def columns(self) -> list[str]:
        return [
            f"{self.users:,} / {self.assignments} / {self.endpoints}",
            f"{self.first_sync:.0f} s, {self.first_writes:,} writes",
            f"{self.restart:.1f} s ({self.processor:.1f} s of processor), {self.restart_writes} writes",
            f"{self.memory:.1f} MiB",
            f"{len(self.change_writes)} in {self.change:.1f} s",
        ]


HEADINGS = [
    "users / assignments / endpoints",
    "first sync, tests included",
    "start and full sync",
    "memory at rest",
    "writes for one changed assignment",
]


class Organization:
    """All in one namespace, which is the worst case. Its Archiver is paused: it is the operator that is measured."""

    def __init__(self, share: float):
        self.name = "scale"
        self.assignments, self.endpoints = round(ASSIGNMENTS * share), round(ENDPOINTS * share)

    def begin(self) -> None:
        node.delete_namespace(self.name)
        node.apply(objects.namespace(self.name))
        archives.add(LOGIN)
        self.apply(objects.secret_of("journal", LOGIN), *rights_to_lease(self.name))
        block = {"recipients": [LOGIN]}
        self.apply(
            objects.archiver(paused=True),
            *(objects.endpoint(f"endpoint-{number}", block) for number in range(self.endpoints)),
            *(self.assignment(number) for number in range(self.assignments)),
        )

    def assignment(self, number: int, more: int = 0) -> dict:
        users = [f"user-{number}-{one}@acme.example" for one in range(USERS + more)]
        return objects.assignment(f"assignment-{number}", f"endpoint-{number}", users)

    def apply(self, *things: dict) -> None:
        kubectl("apply", "--server-side", "-f", "-", stdin=node.listed(tuple(objects.within(self.name, *things))))

    def unready(self) -> int:
        things = [*node.items("archivingendpoints", self.name), *node.items("userassignments", self.name)]
        return sum(node.condition(thing, "Ready").get("status") != "True" for thing in things)


def measured(kit: Kit, share: float) -> Row:
    organization = Organization(share)
    organization.begin()
    with Operator(kit, organization.name, "scale") as operator:
        begun = time.monotonic()
        eventually(lambda: organization.unready() == 0, LONGEST, "every endpoint and assignment is Ready", pause=5)
        await_stillness(operator)
        first = operator.proxy.changes()
        first_sync = first[-1].begun - begun

        calls = len(operator.proxy.calls)
        begun, process = time.monotonic(), operator.process
        operator.kill()
        eventually(lambda: operator.process is not process, 10, "the operator is started again", pause=0.01)
        everything = organization.assignments + organization.endpoints + 1
        eventually(lambda: reconciles(operator) >= everything, 120, "everything is reconciled", pause=0.05)
        restart = time.monotonic() - begun
        await_stillness(operator)
        spent, memory = processor(operator.process.pid), proportional(operator.process.pid)
        restart_writes = len(operator.proxy.changes(calls))

        calls, begun = len(operator.proxy.calls), time.monotonic()
        organization.apply(organization.assignment(0, more=1))
        await_stillness(operator)
        changes = operator.proxy.changes(calls)
    node.delete_namespace(organization.name)
    return Row(
        USERS * organization.assignments,
        organization.assignments,
        organization.endpoints,
        first_sync,
        len(first),
        restart,
        restart_writes,
        memory,
        spent,
        max((call.answered - begun for call in changes), default=0.0),
        [call.title for call in changes],
    )


def await_stillness(operator: Operator) -> None:
    begun = time.monotonic()

    def still() -> bool:
        changes = operator.proxy.changes()
        return time.monotonic() - max([begun, *(call.begun for call in changes[-1:])]) >= STILL

    eventually(still, LONGEST, "the operator has nothing to write any more", pause=0.5)


def reconciles(operator: Operator) -> float:
    """How many the living process has made."""
    try:
        with urlopen(f"http://127.0.0.1:{operator.metrics}/metrics", timeout=5) as answer:
            metrics = answer.read().decode()
    except OSError:  # not there yet
        return 0
    lines = [line for line in metrics.splitlines() if line.startswith("imarchive_operator_reconciles_total")]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


def processor(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def proportional(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def main(shares: list[float]) -> None:
    if not node.is_up():
        raise Failed("the node is not up: make up")
    node.enter_network()
    archives.up()
    print("| " + " | ".join(HEADINGS) + " |\n" + "|---" * len(HEADINGS) + "|", flush=True)
    with tempfile.TemporaryDirectory() as directory, chart_operator_away():
        kit = Kit.prepared(Path(directory))
        for share in shares:
            row = measured(kit, share)
            print("| " + " | ".join(row.columns()) + " |", flush=True)
            print(*(f"  {title}" for title in row.change_writes), sep="\n", file=sys.stderr)


if __name__ == "__main__":
    try:
        main([float(share) for share in sys.argv[1:]] or [0.25, 0.5, 1.0])
    except Failed as failure:
        sys.exit(f"scale: {failure}")
