"""What was handed in and where each message should be: the other side of the archiver's books."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from .node import items

Key = tuple[str, str]  # source and id


@dataclass
class Policy:
    """Whose messages go to which endpoint, read from the cluster's objects and decided anew here."""

    domains: set[str]
    assigned: dict[str, str]
    default: str | None

    @classmethod
    def read(cls, namespace: str) -> "Policy":
        (archiver,) = items("archivers", namespace)
        assignments = items("userassignments", namespace)
        assigned: dict[str, str] = {}
        for found in sorted(assignments, key=age):
            for user in found["spec"]["users"]:
                assigned.setdefault(folded(user), found["spec"]["endpointRef"]["name"])
        domains = {domain.lower() for domain in archiver["spec"]["organization"]["domains"]}
        return cls(domains, assigned, archiver["status"].get("defaultEndpoint"))

    def endpoints(self, message: dict) -> set[str]:
        """Where the message belongs; nowhere when all its people are from outside."""
        people = {folded(person["address"]) for person in [message["sender"], *message.get("recipients", [])]}
        found = {self.endpoint(address) for address in people}
        return {endpoint for endpoint in found if endpoint is not None}

    def endpoint(self, address: str) -> str | None:
        if address in self.assigned:
            return self.assigned[address]
        return self.default if address.rpartition("@")[2] in self.domains else None


def age(thing: dict) -> tuple[str, str]:
    """The oldest first, then by name: the first assignment that names a user is the one that counts."""
    return thing["metadata"]["creationTimestamp"], thing["metadata"]["name"]


def folded(address: str) -> str:
    local, _, domain = address.rpartition("@")
    return f"{local.lower()}@{domain.encode('idna').decode().lower()}"


class Sent:
    """Every acknowledged message, in the order it was handed in."""

    def __init__(self) -> None:
        self.lines: dict[Key, bytes] = {}
        self.order: dict[Key, int] = {}

    def add(self, line: bytes) -> None:
        message = json.loads(line)
        key = (message["source"], message["id"])
        if key not in self.lines:
            self.order[key] = len(self.order)
            self.lines[key] = line

    def add_all(self, messages: Iterable[dict]) -> None:
        for message in messages:
            self.add(json.dumps(message).encode())

    def __len__(self) -> int:
        return len(self.lines)

    def message(self, key: Key) -> dict:
        return json.loads(self.lines[key])

    def expected(self, policy: Policy) -> dict[Key, set[str]]:
        return {key: policy.endpoints(self.message(key)) for key in self.lines}
