"""The API server's audit log: what the programs asked for, whether they should have, and which rights nobody used."""

import copy
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from .node import STATE, SYSTEM
from .rights import ENDPOINT, Right

LOGS = STATE / "logs"
ACCOUNT = "system:serviceaccount:"
OPERATOR, ARCHIVER, PROBE, CHECK = "imarchive-operator", "archiver", "imarchive-probe", "imarchive-check"
PROGRAMS = (OPERATOR, ARCHIVER, PROBE, CHECK)
WRITES = {"create", "update", "patch", "delete", "deletecollection"}
GROUP = "imarchive.dev"
# Objects of people that make a namespace an organization's. To an assignment alone only an answer is given.
ORGANIZATION = {"archivers", "archivingendpoints"}
ANSWERS = {"userassignments/status", "events"}
# What the operator may write in its own namespace.
OWN = {"leases", "events"}
# Rights that no story needs to use, and why they stay.
SELDOM = {
    (OPERATOR, "patch events.events.k8s.io"): "when the same happens again within minutes, its event is counted up",
    (OPERATOR, "get archivers.imarchive.dev"): "for one that makes no sense; the stories show it with an endpoint",
    (OPERATOR, "get userassignments.imarchive.dev"): "for one that makes no sense; the stories show it with an endpoint",
}


@dataclass(frozen=True)
class Request:
    """What somebody asked the API server for, and how that ended."""

    account: str  # without its namespace; empty for people and the cluster's own programs
    home: str  # the namespace of the account
    verb: str
    group: str
    resource: str  # with its subresource
    namespace: str
    name: str
    code: int
    dry_run: bool
    at: str
    event: dict = field(repr=False, hash=False, compare=False)

    @property
    def is_write(self) -> bool:
        return self.verb in WRITES and not self.dry_run

    @property
    def succeeded(self) -> bool:
        return self.code < 400

    def __str__(self) -> str:
        what = Right(self.verb, self.group, self.resource, self.name)
        where = f"in {self.namespace}" if self.namespace else "in the cluster"
        return f"{self.at} {self.home}/{self.account}: {what} {where}: {self.code}"


def read() -> Iterator[dict]:
    """Every event of the log that is about us, oldest first, since the node was started."""
    for file in sorted(LOGS.glob("audit-*.log")) + [LOGS / "audit.log"]:
        with file.open() as lines:
            for line in lines:
                # Most of a node's requests are its own, and need not be parsed.
                if ACCOUNT in line or GROUP in line:
                    yield json.loads(line)


def request_of(event: dict) -> Request | None:
    """None for what is no request for a resource, such as /version."""
    if "objectRef" not in event:
        return None
    username = event["user"].get("username", "")
    home, _, account = username.removeprefix(ACCOUNT).partition(":") if username.startswith(ACCOUNT) else ("", "", "")
    target = event["objectRef"]
    return Request(
        account=account if account in PROGRAMS else "",
        home=home,
        verb=event["verb"],
        group=target.get("apiGroup", ""),
        resource="/".join(filter(None, (target.get("resource"), target.get("subresource")))),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        code=event.get("responseStatus", {}).get("code", 0),
        dry_run="dryRun=" in event.get("requestURI", ""),
        at=event["requestReceivedTimestamp"],
        event=event,
    )


class Log:
    """All of it that is of interest."""

    def __init__(self, events: Iterable[dict]):
        self.requests: list[Request] = []
        self.organizations: set[str] = set()
        self.assigned: set[str] = set()
        for event in events:
            if request := request_of(event):
                self.take(request)

    def take(self, request: Request) -> None:
        if request.account:
            self.requests.append(request)
        elif request.group == GROUP and request.is_write and request.succeeded:
            if request.resource in ORGANIZATION:
                self.organizations.add(request.namespace)
            elif request.resource == "userassignments":
                self.assigned.add(request.namespace)

    def writes(self, account: str) -> list[Request]:
        return [request for request in self.requests if request.account == account and request.is_write]

    def violations(self, since: str = "") -> Iterator[tuple[Request, str]]:
        for request in self.requests:
            if request.at >= since and (why := self.violation(request)):
                yield request, why

    def violation(self, request: Request) -> str | None:
        """What is wrong with the request, whether it succeeded or not."""
        if request.resource.partition("/")[0] == "secrets" and not request.group:
            return "nobody may ask for Secrets"
        if request.account == PROBE:
            return "a probe has no business with the API server"
        if not request.is_write:
            return None
        if request.account == ARCHIVER and request.namespace != request.home:
            return "an archiver writes in its own namespace only"
        if request.account == CHECK:
            asks = request.verb == "patch" and request.resource == "archivingendpoints"
            return None if asks else "the check changes nothing but the annotation that asks for a test"
        if request.account == OPERATOR and not self.may_write(request):
            return "the operator writes in organizations' namespaces only, and in its own its Lease and events"
        return None

    def may_write(self, request: Request) -> bool:
        return (
            request.namespace in self.organizations
            or (request.namespace in self.assigned and request.resource in ANSWERS)
            or (request.namespace == SYSTEM == request.home and request.resource in OWN)
        )

    def refused(self) -> Counter[str]:
        """What the programs had no right to, with how often that was."""
        found: Counter[str] = Counter()
        for request in self.requests:
            if request.event.get("annotations", {}).get("authorization.k8s.io/decision") == "forbid":
                what = Right(request.verb, request.group, request.resource, request.name)
                found[f"{request.account}: {what}, in {request.namespace or 'the cluster'}"] += 1
        return found

    def unused(self, granted: dict[str, set[Right]]) -> Iterator[tuple[str, Right]]:
        succeeded = [request for request in self.requests if request.succeeded]
        used = {(request.account, right) for request in succeeded for right in used_by(request)}
        for account, rights in sorted(granted.items()):
            for right in sorted(rights):
                if (account, right) not in used and (account, str(right)) not in SELDOM:
                    yield account, right


def used_by(request: Request) -> Iterator[Right]:
    """The rights that the API server asked for before it did this."""
    verbs = [request.verb]
    # An apply that made the object.
    if request.verb == "patch" and request.code == 201:
        verbs.append("create")
    for verb in verbs:
        for name in {request.name, ENDPOINT, ""}:
            yield Right(verb, request.group, request.resource, name)
    if request.resource == "rolebindings" and request.code == 201:
        yield Right("bind", request.group, "clusterroles", "imarchive-archiver")


def unproven(events: list[dict]) -> Iterator[str]:
    """What this check would not have noticed: of each program's last write, a copy that should not be is shown to it."""
    log = Log(events)
    for account in (OPERATOR, ARCHIVER):
        if not (writes := log.writes(account)):
            yield f"the log has no write by {account}, so that nothing is proved about it"
            continue
        for change in ({"resource": "secrets", "apiGroup": ""}, {"namespace": "kube-system"}):
            planted = copy.deepcopy(writes[-1].event)
            planted["objectRef"].update(change)
            request = request_of(planted)
            if request is None or not log.violation(request):
                yield f"a write by {account} with {change} was not noticed"
