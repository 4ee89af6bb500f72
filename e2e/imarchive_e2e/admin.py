"""The API as the cluster's administrator has it, without the quarter of a second that each kubectl takes."""

import http.client
import json
import ssl
from functools import cache

from .node import ADDRESS, STATE, Failed

PORT = 6443
TIMEOUT = 20  # seconds


@cache
def collections() -> list[str]:
    """The paths of all kinds that live in namespaces and can be listed."""
    versions = ["/api/v1"]
    versions += [f"/apis/{group['preferredVersion']['groupVersion']}" for group in get("/apis")["groups"]]
    return [
        f"{version}/{kind['name']}"
        for version in versions
        for kind in get(version)["resources"]
        if kind["namespaced"] and "list" in kind["verbs"] and "/" not in kind["name"]
    ]


def items(collection: str, namespace: str) -> list[dict]:
    return get(path(collection, namespace))["items"]


def path(collection: str, namespace: str, name: str = "") -> str:
    version, _, plural = collection.rpartition("/")
    return f"{version}/namespaces/{namespace}/{plural}/{name}".rstrip("/")


def get(path: str) -> dict:
    return asked("GET", path)


def merge(path: str, change: dict) -> dict:
    return asked("PATCH", path, json.dumps(change), {"Content-Type": "application/merge-patch+json"})


def asked(method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None) -> dict:
    connection = http.client.HTTPSConnection(ADDRESS, PORT, context=identity(), timeout=TIMEOUT)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        content = json.loads(answer.read())
    finally:
        connection.close()
    if answer.status != 200:
        raise Failed(f"{method} {path}: {answer.status} {content.get('message')}")
    return content


@cache
def identity() -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=STATE / "pki/ca.crt")
    context.load_cert_chain(STATE / "pki/admin.crt", STATE / "pki/admin.key")
    return context
