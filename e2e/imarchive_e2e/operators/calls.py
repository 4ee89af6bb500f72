"""A call to the API server that changes something: what it is called, and what became of it."""

import json
from dataclasses import dataclass, field

MUTATING = ("POST", "PUT", "PATCH", "DELETE")


@dataclass
class Call:
    """One mutating call of an operator."""

    method: str
    group: str
    resource: str
    namespace: str
    name: str
    subresource: str
    body: dict = field(default_factory=dict, repr=False)
    life: int = 0  # of the operator, which may be killed and begin anew
    answer: int | None = None  # the API server's; None until it has one, and when it was never asked
    told: int | None = None  # what the operator was told; None when it was told nothing
    begun: float = 0.0  # by the monotonic clock
    answered: float = 0.0

    @property
    def is_of_lease(self) -> bool:
        return self.resource == "leases"

    @property
    def succeeded(self) -> bool:
        return self.answer is not None and self.answer < 300

    @property
    def title(self) -> str:
        """What is the same in every run of one scenario: without namespace, times and hashes."""
        path = "/".join(filter(None, (self.resource, self.stem, self.subresource)))
        return " ".join(filter(None, (self.method, path, self.meaning)))

    @property
    def stem(self) -> str:
        """The name, but for what is generated."""
        if self.resource == "jobs":  # the endpoint, and a hash
            return self.name.rpartition("-")[0]
        if self.resource == "events":
            return self.body.get("regarding", {}).get("name", "")
        return self.name

    @property
    def meaning(self) -> str:
        """What a status or an event says, in a word or two."""
        if self.resource == "events":
            return self.body.get("reason", "")
        status = self.body.get("status")
        if self.subresource != "status" or not isinstance(status, dict):
            return ""
        said = [condition["reason"] for condition in status.get("conditions", []) if condition["type"] == "Ready"]
        if status.get("default"):
            said.append("default")
        if status.get("defaultEndpoint"):
            said.append(f"default={status['defaultEndpoint']}")
        return ",".join(said)


@dataclass(frozen=True)
class Target:
    """What the path of a request means."""

    group: str
    namespace: str
    resource: str
    name: str
    subresource: str

    @classmethod
    def of(cls, path: str) -> "Target":
        """/api/v1/... or /apis/GROUP/VERSION/..., each with or without namespaces/NAME."""
        words = path.strip("/").split("/")
        group, rest = ("", words[2:]) if words[0] == "api" else ("/".join(words[1:2]), words[3:])
        namespace = ""
        if rest[:1] == ["namespaces"] and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        resource, name, subresource = (rest + ["", "", ""])[:3]
        return cls(group, namespace, resource, name, subresource)


def call_of(method: str, path: str, body: bytes, life: int) -> Call:
    target = Target.of(path)
    try:
        content = json.loads(body or b"{}")
    except ValueError:
        content = {}
    name = target.name or content.get("metadata", {}).get("name", "")
    return Call(method, target.group, target.resource, target.namespace, name, target.subresource, content, life)
