"""The node, and what a person does with it: kubectl and helm, from inside its network."""

import ctypes
import json
import os
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

E2E = Path(__file__).resolve().parents[1]
PROJECT = E2E.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "imarchive"
STATE = CACHE / "cluster"
NETWORK = "imarchive"  # the node's network namespace
ADDRESS = "198.18.0.1"  # what pods reach the machine by
SYSTEM = "imarchive-system"
CLONE_NEWNET = 0x40000000


class Failed(Exception):
    """What the person who watches should read."""


def run(*command: str | Path, stdin: str | None = None, timeout: float | None = None) -> str:
    """What the command prints; when it fails, that is said in its own words."""
    done = subprocess.run([str(word) for word in command], input=stdin, text=True, capture_output=True, timeout=timeout)
    if done.returncode != 0:
        words = done.stderr.strip() or done.stdout.strip() or f"exit {done.returncode}"
        raise Failed(f"{shown(command)}: {words}")
    return done.stdout


def shown(command: tuple[str | Path, ...]) -> str:
    words = [str(word) for word in command]
    if "--" in words:  # what e2e/cluster runs says more than that it runs it
        words = words[words.index("--") + 1 :]
    return " ".join(words[:6])


def is_up() -> bool:
    return subprocess.run([E2E / "cluster", "status"], capture_output=True).returncode == 0


def enter_network() -> None:
    """From here on the connections of this process, and of what it starts, begin in the node's network."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f"/var/run/netns/{NETWORK}") as namespace:
        if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
            raise Failed(f"cannot enter the node's network: {os.strerror(ctypes.get_errno())}")


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    return run(E2E / "cluster", "exec", "--", "kubectl", *arguments, stdin=stdin)


def helm(*arguments: str) -> str:
    return run(E2E / "cluster", "exec", "--", "helm", *arguments)


def apply(*objects: dict) -> str:
    return kubectl("apply", "-f", "-", stdin=listed(objects))


def listed(objects: tuple[dict, ...]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})


def get(kind: str, name: str, namespace: str) -> dict:
    return json.loads(kubectl("get", kind, name, "-n", namespace, "-o", "json"))


def retry(endpoint: str, namespace: str) -> dict:
    """What its status says of an outage."""
    return get("archivingendpoint", endpoint, namespace)["status"].get("retry") or {}


def merge(kind: str, name: str, namespace: str, change: dict) -> None:
    """What `kubectl edit` does."""
    kubectl("patch", kind, name, "-n", namespace, "--type=merge", "-p", json.dumps(change))


def items(kind: str, namespace: str) -> list[dict]:
    return json.loads(kubectl("get", kind, "-n", namespace, "-o", "json"))["items"]


def condition(thing: dict, kind: str) -> dict:
    """The condition of this type, or an empty one."""
    conditions = thing.get("status", {}).get("conditions", [])
    return next((found for found in conditions if found["type"] == kind), {})


def token(account: str, namespace: str, audience: str) -> str:
    return kubectl("create", "token", account, "-n", namespace, "--audience", audience).strip()


def delete_namespace(name: str, wait: bool = True) -> None:
    kubectl("delete", "namespace", name, "--ignore-not-found", f"--wait={str(wait).lower()}", "--timeout=180s")


def install_chart(roots: Path, *more: str) -> str:
    """Installs the chart or brings it up to date, so that it trusts the archives of the tests; returns its revision.

    Whatever was set before, or is not said by `more`, has its default again.
    """
    chart = PROJECT / "charts/imarchive"
    found = helm(
        *("upgrade", "--install", "imarchive", str(chart), "-n", SYSTEM, "--create-namespace"),
        *("--set", "image.repository=imarchive,image.tag=dev", "--set-file", f"trust.extraRoots={roots}"),
        *("--wait", "--timeout=180s", "-o", "json"),
        *more,
    )
    return str(json.loads(found)["version"])


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def eventually(holds: Callable[[], object], seconds: float, what: str, pause: float = 0.5) -> object:
    """Waits until `holds` gives something true, and returns that."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {seconds:g} s")
        time.sleep(pause)
    return found
