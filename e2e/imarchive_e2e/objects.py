"""The objects that a user would write, with short ways to say what a story is about."""

from . import archives

API = "imarchive.dev/v1alpha1"
DOMAIN = "acme.example"


def namespace(name: str) -> dict:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def service_account(name: str) -> dict:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}


def secret(name: str, username: str, password: str) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name},
        "type": "kubernetes.io/basic-auth",
        "stringData": {"username": username, "password": password},
    }


def secret_of(name: str, login: str) -> dict:
    """The Secret with the password that the archives know for the login."""
    return secret(name, login, archives.account(login)["password"])


def quota(name: str, hard: dict) -> dict:
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": {"hard": hard}}


def host(name: str, address: str) -> list[dict]:
    """Makes NAME.NAMESPACE.svc.cluster.local a name of the address."""
    ports = [{"port": 587}]
    service = {"kind": "Service", "apiVersion": "v1", "spec": {"clusterIP": "None", "ports": ports}}
    slice_ = {"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "addressType": "IPv4", "ports": ports}
    labels = {"kubernetes.io/service-name": name}
    endpoints = [{"addresses": [address]}]
    return [
        {**service, "metadata": {"name": name}},
        {**slice_, "metadata": {"name": name, "labels": labels}, "endpoints": endpoints},
    ]


def archiver(name: str = "archiver", **spec: dict) -> dict:
    organization = {"name": "Acme", "domains": [DOMAIN], "administrators": ["compliance@acme.example"]}
    ingest = {"clients": [{"serviceAccount": "chat", "sources": ["acme-chat"]}]}
    return resource("Archiver", name, {"organization": organization, "ingest": ingest, **spec})


def endpoint(name: str, smtp: dict | None = None, **spec: object) -> dict:
    """An endpoint of type SecureSMTP: `smtp` says what differs from the archive `journal`."""
    return resource("ArchivingEndpoint", name, {"type": "SecureSMTP", "smtp": journal(**(smtp or {})), **spec})


def journal(**different: object) -> dict:
    """The block of the archive behind port 587, with what differs from it; None leaves a field out."""
    block = {
        "host": "journal.archive.example",
        "port": 587,
        "from": "archive@acme.example",
        "recipients": ["acme-journal@journal.archive.example"],
        "credentialsSecretRef": {"name": "journal"},
        **different,
    }
    return {field: value for field, value in block.items() if value is not None}


def assignment(name: str, endpoint_name: str, users: list[str]) -> dict:
    return resource("UserAssignment", name, {"endpointRef": {"name": endpoint_name}, "users": users})


def resource(kind: str, name: str, spec: dict) -> dict:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}


def within(name: str, *things: dict) -> list[dict]:
    """The same objects, in this namespace."""
    return [{**thing, "metadata": {**thing["metadata"], "namespace": name}} for thing in things]
