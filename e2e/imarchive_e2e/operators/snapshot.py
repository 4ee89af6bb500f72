"""All objects of a namespace, without what differs from run to run: times, UIDs, versions, addresses, hashes."""

import json
import re
from collections import Counter
from difflib import unified_diff

from ..admin import collections, items

# Of the cluster itself, or counted below, or made by each run in a number of its own.
LEFT_OUT = {"events", "leases", "endpoints", "endpointslices", "controllerrevisions", "pods", "jobs"}
FLEETING = {
    *("uid", "resourceVersion", "managedFields", "creationTimestamp", "selfLink", "millis"),
    *("clusterIP", "clusterIPs", "healthCheckNodePort", "nodePort", "volumeName"),
    *("currentRevision", "updateRevision", "collisionCount"),
    "kubectl.kubernetes.io/last-applied-configuration",
    "kubectl.kubernetes.io/restartedAt",
}
# Of other kinds than ours: how many steps it took is no part of the result.
STEPS = {"generation", "observedGeneration"}
OURS = "imarchive.dev/"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
INGEST_CA = "archiver-ca"  # a certificate that each archiver makes for itself
UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CONNECTION = "imarchive.dev/connection"
ENDPOINT = "imarchive.dev/endpoint"


def snapshot(namespace: str) -> dict:
    """By `Kind/name`; Jobs are counted by endpoint, connection and outcome."""
    found: dict = {}
    for collection in collections():
        plural = collection.rpartition("/")[2]
        if plural in LEFT_OUT:
            continue
        for thing in items(collection, namespace):
            metadata = thing["metadata"]
            if metadata.get("deletionTimestamp"):
                continue
            ours = collection.startswith(f"/apis/{OURS}")
            found[f"{plural}/{metadata['name']}"] = normal(thing, namespace, set() if ours else STEPS)
            if plural == "configmaps" and metadata["name"] == INGEST_CA:
                found[f"{plural}/{INGEST_CA}"]["data"] = sorted(thing.get("data", {}))
    found["pods"] = pods(namespace)
    found["jobs"] = jobs(namespace)
    return found


def normal(value: object, namespace: str, dropped: set[str]) -> object:
    if isinstance(value, dict):
        kept = {key: normal(inner, namespace, dropped) for key, inner in value.items() if key not in FLEETING | dropped}
        return dict(sorted(kept.items()))
    if isinstance(value, list):
        inner = [normal(one, namespace, dropped) for one in value]
        if all(isinstance(one, dict) and {"type", "status"} <= one.keys() for one in inner):
            inner.sort(key=lambda condition: condition["type"])
        return inner
    if isinstance(value, str):
        return UID.sub("UID", TIME.sub("TIME", value.replace(namespace, "NAMESPACE")))
    return value


def pods(namespace: str) -> list[str]:
    """Those that are there to stay, and whether they are ready; a probe's pod is told of by its Job."""
    found = []
    for pod in items("/api/v1/pods", namespace):
        if ENDPOINT not in pod["metadata"].get("labels", {}):
            conditions = pod["status"].get("conditions", [])
            ready = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
            terminating = "deletionTimestamp" in pod["metadata"]
            found.append(f"{pod['metadata']['name']} ready={ready} terminating={terminating}")
    return sorted(found)


def jobs(namespace: str) -> dict[str, int]:
    """How often each connection of each endpoint was tested, and how many of these Jobs came to their end."""
    counted: Counter = Counter()
    for job in items("/apis/batch/v1/jobs", namespace):
        template = job["spec"]["template"]["metadata"]
        name = template["labels"].get(ENDPOINT, job["metadata"]["name"])
        ended = [one["type"] for one in job["status"].get("conditions", []) if one["status"] == "True"]
        outcome = next((kind for kind in ("Complete", "Failed") if kind in ended), "underway")
        counted[f"{name} {template.get('annotations', {}).get(CONNECTION, '')} {outcome}"] += 1
    return dict(sorted(counted.items()))


def difference(expected: dict, found: dict) -> str:
    """Nothing when they are the same; else the lines that differ, each below the name of its object."""
    said = []
    for name in sorted(expected.keys() | found.keys()):
        one, other = (text(state.get(name)) for state in (expected, found))
        if one != other:
            lines = list(unified_diff(one, other, "undisturbed", "here", n=2, lineterm=""))[2:]
            said += [f"{name}:", *(f"  {line}" for line in lines)]
    return "\n".join(said)


def text(thing: object) -> list[str]:
    return [] if thing is None else json.dumps(thing, indent=1, ensure_ascii=False).splitlines()
