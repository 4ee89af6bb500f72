"""What an Archiver owns in its namespace, by the names that `kubectl` takes, and how it was declared."""

import copy

from .node import kubectl

CLAIM = "persistentvolumeclaim/spool"  # which goes with nobody
OWNED = (
    "serviceaccount/archiver",
    "serviceaccount/imarchive-probe",
    "rolebinding/archiver",
    "networkpolicy/archiver",
    "configmap/archiver-ca",
    "service/archiver",
    "statefulset/archiver",  # after its account, without which the pod's token is worth nothing
)
# What the API server writes at each change, or once for each object.
MOVES = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid")


def declared(thing: dict) -> dict:
    """The object as its owners want it, without what the cluster adds to each version or each new object of it."""
    kept = copy.deepcopy({part: value for part, value in thing.items() if part != "status"})
    for field in MOVES:
        kept["metadata"].pop(field, None)
    for field in ("clusterIP", "clusterIPs"):
        kept.get("spec", {}).pop(field, None)
    return kept


def versions(namespace: str, *kinds: str) -> dict[str, str]:
    """The version of each object of these kinds, by `Kind/name`."""
    name_and_version = "{.kind}/{.metadata.name} {.metadata.resourceVersion}"
    path = "jsonpath={range .items[*]}" + name_and_version + '{"\\n"}{end}'
    return dict(line.split() for line in kubectl("get", ",".join(kinds), "-n", namespace, "-o", path).splitlines())

