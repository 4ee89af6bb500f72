"""An organization that an operator has to do much for in a few seconds, and that is then at rest for hours.

No endpoint of it is tested again before the interval has passed.
"""

from .. import node, objects
from .process import rights_to_lease
from .snapshot import snapshot

LOGIN = "journal"  # of the archives, and the name of the Secret with its password
WRONG = "wrong"
VAULT = {"host": "vault.archive.example", "port": 465, "tls": "Implicit"}


class Scenario:
    """In a namespace of its own."""

    def __init__(self, namespace: str):
        self.namespace = namespace

    def prepare(self) -> None:
        """What is there before the operator is."""
        node.delete_namespace(self.namespace)
        node.apply(objects.namespace(self.namespace))
        secrets = (objects.secret_of(LOGIN, LOGIN), objects.secret(WRONG, LOGIN, "not the password"))
        self.apply(*secrets, *rights_to_lease(self.namespace))

    def begin(self) -> None:
        """Two endpoints that work, one whose password is wrong, and two assignments that name the same user."""
        self.apply(
            objects.archiver(),
            objects.endpoint("journal", default=True),
            objects.endpoint("vault", VAULT),
            objects.endpoint("mended", {"credentialsSecretRef": {"name": WRONG}}),
            objects.assignment("older", "journal", ["alice@acme.example", "bob@acme.example"]),
            objects.assignment("younger", "vault", ["bob@acme.example", "carol@acme.example"]),
        )

    def change(self) -> None:
        """The password is mended, another endpoint wants to be the default, and the assignment that won goes."""
        self.apply(objects.endpoint("mended"), objects.endpoint("vault", VAULT, default=True))
        node.kubectl("delete", "userassignments.imarchive.dev", "older", "-n", self.namespace)

    def end(self) -> None:
        node.delete_namespace(self.namespace, wait=False)

    def apply(self, *things: dict) -> None:
        node.apply(*objects.within(self.namespace, *things))

    def state(self) -> dict:
        return snapshot(self.namespace)


# Whether each object is Ready once all is done that `begin`, and then `change`, asks for.
READY = (
    {
        "archivers/archiver": "True",
        "archivingendpoints/journal": "True",
        "archivingendpoints/mended": "False",
        "archivingendpoints/vault": "True",
        "userassignments/older": "True",
        "userassignments/younger": "False",
    },
    {
        "archivers/archiver": "True",
        "archivingendpoints/journal": "True",
        "archivingendpoints/mended": "True",
        "archivingendpoints/vault": "True",
        "userassignments/younger": "True",
    },
)
DEFAULT = ("journal", "vault")


def is_done(state: dict, step: int) -> bool:
    """Whether nothing is left to do after this step, for the operator, the kubelet and the archiver."""
    ready = {name: node.condition(thing, "Ready").get("status") for name, thing in state.items() if name in READY[0]}
    endpoints = [thing for name, thing in state.items() if name.startswith("archivingendpoints/")]
    return (
        ready == READY[step]
        and state["archivers/archiver"]["status"].get("defaultEndpoint") == DEFAULT[step]
        and all(is_known(endpoint["status"]) for endpoint in endpoints)
        and not any(job.endswith(" underway") for job in state["jobs"])
        and state["pods"] == ["archiver-0 ready=True terminating=False"]
    )


def is_known(status: dict) -> bool:
    """Whether the archiver says that it delivers by what was accepted."""
    rows = {row.get("acceptedGeneration") for row in status.get("archivers", [])}
    return rows == {status.get("accepted", {}).get("generation")}
