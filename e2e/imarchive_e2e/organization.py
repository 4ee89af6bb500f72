"""An organization of a story: a namespace, and a mailbox, of its own."""

import json
from contextlib import suppress

from . import archives, node, objects
from .container import Container
from .ingest import Client
from .node import Failed, kubectl

PATIENCE = 120  # seconds until an object is as it should be, on a busy machine


class Organization:
    """What its administrator does, by kubectl; and its chat system."""

    def __init__(self, name: str):
        self.name = name
        self.login = f"{name}@journal.archive.example"

    def begin(self, *things: dict) -> None:
        """Makes the namespace, the Secret `journal`, the ServiceAccount `chat`, and what is given."""
        node.delete_namespace(self.name)  # of a story that was stopped
        node.apply(objects.namespace(self.name))
        archives.add(self.login)
        self.apply(objects.secret_of("journal", self.login), objects.service_account("chat"), *things)

    def end(self) -> None:
        node.delete_namespace(self.name, wait=False)  # which takes a quarter of a minute

    def apply(self, *things: dict) -> None:
        node.apply(*objects.within(self.name, *things))

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return kubectl(*arguments, "-n", self.name, stdin=stdin)

    def endpoint(self, name: str, smtp: dict | None = None, **spec: object) -> dict:
        """One that delivers to this organization's mailbox, unless said otherwise."""
        return objects.endpoint(name, {"recipients": [self.login], **(smtp or {})}, **spec)

    def get(self, kind: str, name: str) -> dict:
        return node.get(kind, name, self.name)

    def patch(self, what: str, change: dict, *, strategy: str = "merge") -> None:
        """What `kubectl edit` does. Only Kubernetes' own kinds know `strategic`, which finds list items by key."""
        self.kubectl("patch", what, f"--type={strategy}", "-p", json.dumps(change))

    def delete(self, what: str, *, wait: bool = True) -> None:
        self.kubectl("delete", what, f"--wait={str(wait).lower()}", "--timeout=60s")

    def find(self, what: str) -> dict | None:
        """The object, unless there is none."""
        found = self.kubectl("get", what, "--ignore-not-found", "-o", "json")
        return json.loads(found) if found else None

    def condition(self, kind: str, name: str, condition: str) -> dict:
        return node.condition(self.get(kind, name), condition)

    def retry(self, endpoint: str) -> dict:
        return node.retry(endpoint, self.name)

    def wait(self, what: str, condition: str = "Ready", seconds: int = PATIENCE) -> None:
        self.kubectl("wait", what, f"--for=condition={condition}", f"--timeout={seconds}s")

    def client(self) -> Client:
        """The chat system; waits until there is somebody to talk to."""
        self.wait("archivers/archiver")
        return Client(self.name, "chat")

    def container(self) -> Container:
        """The archiver's process, of the pod that there is now."""
        return Container(self.get("pod", "archiver-0")["metadata"]["uid"])

    def test_again(self, endpoint: str) -> None:
        self.kubectl(
            *("annotate", "archivingendpoint", endpoint, "--overwrite"),
            f"imarchive.dev/test-requested-at={node.now()}",
        )

    def account(self) -> str:
        """What a person would look at when a story fails."""
        views = [
            ("get", "imarchive,pods,jobs,pvc", "-o", "wide"),
            ("get", "imarchive", "-o", "yaml"),
            ("get", "events", "--sort-by=.lastTimestamp"),
            ("logs", "statefulset/archiver", "--tail=60", "--prefix"),
            ("logs", "statefulset/archiver", "--tail=30", "--previous"),
        ]
        found = []
        for view in views:
            with suppress(Failed):
                found.append(f"$ kubectl {' '.join(view)}\n{self.kubectl(*view)}")
        with suppress(Failed):
            operator = kubectl("logs", "-n", node.SYSTEM, "deployment/imarchive-operator", "--tail=60")
            found.append(f"$ kubectl logs deployment/imarchive-operator\n{operator}")
        return "\n".join(found)
