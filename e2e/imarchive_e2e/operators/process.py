"""The operator as a process of this machine, behind a proxy of its own and with the rights of the real one."""

import json
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import environ
from pathlib import Path
from socket import socket
from urllib.request import urlopen

from .. import archives, node
from .proxy import Proxy
from ..node import CACHE, SYSTEM, eventually, kubectl

NAME = "imarchive-operator"  # of the chart's Deployment and ServiceAccount
OPERATORS = "app.kubernetes.io/component=operator"
LEASE_ROLE = "imarchive-operator-lease"
TOKEN_HOURS = 24  # a long run goes on with it
PAUSE = 0.2  # seconds before it is started again
LAST_LINES = 60


@contextmanager
def chart_operator_away() -> Iterator[None]:
    """Meanwhile no pod of the chart's Deployment acts."""
    deployment = f"deployment/{NAME}"
    before = kubectl("get", deployment, "-n", SYSTEM, "-o", "jsonpath={.spec.replicas}")
    try:
        kubectl("scale", deployment, "-n", SYSTEM, "--replicas=0")
        kubectl("wait", "pods", "-n", SYSTEM, "-l", OPERATORS, "--for=delete", "--timeout=60s")
        yield
    finally:
        kubectl("scale", deployment, "-n", SYSTEM, f"--replicas={before}")
        kubectl("rollout", "status", deployment, "-n", SYSTEM, "--timeout=120s")


@dataclass(frozen=True)
class Kit:
    """What operators of one story are started with."""

    program: Path  # a copy, so that all lives of all operators are of one build
    token: str  # of the ServiceAccount that the chart makes, with the rights that it gives
    directory: Path

    @classmethod
    def prepared(cls, directory: Path) -> "Kit":
        target = Path(environ.get("CARGO_TARGET_DIR") or CACHE / "target")
        program = shutil.copy(target / "x86_64-unknown-linux-gnu/release/operator", directory)
        token = kubectl("create", "token", NAME, "-n", SYSTEM, f"--duration={TOKEN_HOURS}h").strip()
        return cls(Path(program), token, directory)


class Operator:
    """Is started again whenever it ends, as the kubelet would."""

    def __init__(self, kit: Kit, namespace: str, name: str, *more: str | Path):
        """`more` are further arguments."""
        self.name = name
        self.proxy = Proxy()
        self.log = kit.directory / f"{name}.log"
        self.kubeconfig = kit.directory / f"{name}.kubeconfig"
        self.token = kit.token
        self.metrics = free_port()
        self.command = [
            *(kit.program, "run", "--image", "imarchive:dev", "--watch-namespaces", namespace),
            *("--metrics", f"127.0.0.1:{self.metrics}", "--extra-roots", archives.authority()),
            *("--identity", name, "--lease-namespace", namespace),
            *more,
        ]
        self.ends: list[int] = []  # exit codes; a signal is negative
        self.process: subprocess.Popen | None = None
        self.stopping = threading.Event()
        self.wanted = threading.Event()
        self.supervisor = threading.Thread(target=self.supervise, daemon=True)

    def __enter__(self) -> "Operator":
        self.proxy.__enter__()
        self.kubeconfig.write_text(json.dumps(kubeconfig_of(self.proxy.address, self.token)))
        self.wanted.set()
        self.supervisor.start()
        eventually(lambda: self.process is not None, 10, f"{self.name} is started", pause=0.05)
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.wanted.set()
        self.kill()
        self.supervisor.join(10)
        self.proxy.__exit__()

    def supervise(self) -> None:
        environment = {"KUBECONFIG": str(self.kubeconfig), "IMARCHIVE_LOG": "info,operator=debug"}
        with self.log.open("ab") as log:
            while not self.stopping.is_set():
                self.process = subprocess.Popen(self.command, env=environment, stdout=log, stderr=log)
                self.ends.append(self.process.wait())
                self.proxy.next_life()
                self.stopping.wait(PAUSE)
                self.wanted.wait()

    @property
    def leads(self) -> bool:
        """By its own word. One that was stopped, or is just started, says nothing."""
        try:
            with urlopen(f"http://127.0.0.1:{self.metrics}/metrics", timeout=1) as answer:
                return b"imarchive_operator_leader 1" in answer.read().splitlines()
        except OSError:
            return False

    def signal(self, number: int) -> None:
        if self.process is not None:
            self.process.send_signal(number)

    def kill(self) -> None:
        """Without warning; what it still has on the wire is of the life that ends."""
        self.signal(signal.SIGKILL)
        self.proxy.next_life()

    def end(self) -> None:
        """Asks it to end, as one does whose pod is deleted: it is not started again before `begin_again`."""
        self.wanted.clear()
        self.signal(signal.SIGTERM)

    def begin_again(self) -> None:
        self.wanted.set()

    def idle_for(self) -> float:
        """Seconds since it last changed something; 0 while it never has."""
        changes = self.proxy.changes()
        return time.monotonic() - changes[-1].begun if changes else 0

    def account(self) -> str:
        lines = self.log.read_text().splitlines()[-LAST_LINES:]
        calls = [f"{call.title} {call.answer}, told {call.told}" for call in self.proxy.calls[-LAST_LINES:]]
        return "\n".join([f"{self.name} ended with {self.ends}. Its last calls:", *calls, "Its last words:", *lines])


def rights_to_lease(namespace: str) -> list[dict]:
    """What the chart gives in its own namespace, in this one: operators of other Leases do not wait for each other."""
    role = node.get("role", LEASE_ROLE, SYSTEM)
    metadata = {"name": LEASE_ROLE, "namespace": namespace}
    group = "rbac.authorization.k8s.io"
    reference = {"apiGroup": group, "kind": "Role", "name": LEASE_ROLE}
    account = {"kind": "ServiceAccount", "name": NAME, "namespace": SYSTEM}
    return [
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": role["rules"]},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": reference,
            "subjects": [account],
        },
    ]


def kubeconfig_of(server: str, token: str) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "node", "cluster": {"server": server}}],
        "users": [{"name": NAME, "user": {"token": token}}],
        "contexts": [{"name": "node", "context": {"cluster": "node", "user": NAME}}],
        "current-context": "node",
    }


def free_port() -> int:
    with socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]
