"""The chart's Deployment with two replicas: when the pod of the leader is gone without a word, the other one leads."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from imarchive_e2e import node, objects
from imarchive_e2e.node import SYSTEM, kubectl
from imarchive_e2e.operators.process import NAME

NAMESPACE = "story-replicas"
DEPLOYMENT = f"deployment/{NAME}"
PATIENCE = 60  # seconds; a Lease that is not renewed is over after 15


@pytest.fixture(scope="module", autouse=True)
def two(cluster: None) -> Iterator[None]:
    before = kubectl("get", DEPLOYMENT, "-n", SYSTEM, "-o", "jsonpath={.spec.replicas}")
    node.delete_namespace(NAMESPACE)
    node.apply(objects.namespace(NAMESPACE))
    scale("2")
    yield
    scale(before)
    node.delete_namespace(NAMESPACE, wait=False)


def scale(replicas: str) -> None:
    kubectl("scale", DEPLOYMENT, "-n", SYSTEM, f"--replicas={replicas}")
    kubectl("rollout", "status", DEPLOYMENT, "-n", SYSTEM, "--timeout=120s")


def holder() -> str:
    return kubectl("get", "lease", NAME, "-n", SYSTEM, "-o", "jsonpath={.spec.holderIdentity}")


def process_of(pod: str) -> int:
    """The operator in the cgroup of exactly this pod."""
    uid = node.get("pod", pod, SYSTEM)["metadata"]["uid"]
    (pid,) = (int(process.name) for process in Path("/proc").iterdir() if is_operator_of(process, uid))
    return pid


def is_operator_of(process: Path, uid: str) -> bool:
    try:
        cgroup, name = (process / "cgroup").read_text(), (process / "comm").read_text().strip()
    except OSError:  # no process, or gone meanwhile
        return False
    return name == "operator" and uid in cgroup


def test_one_that_waits_is_ready_and_takes_over(cluster):
    leader = node.eventually(holder, PATIENCE, "somebody leads")
    # It hears of nothing any more, as on a node that is lost; so it cannot give its Lease back.
    os.kill(process_of(leader), signal.SIGSTOP)
    kubectl("delete", "pod", leader, "-n", SYSTEM, "--grace-period=0", "--force")
    node.eventually(lambda: holder() not in ("", leader), PATIENCE, "another one leads")
    node.apply(*objects.within(NAMESPACE, objects.assignment("later", "nowhere", ["alice@acme.example"])))
    node.eventually(
        lambda: node.condition(node.get("userassignments.imarchive.dev", "later", NAMESPACE), "Ready"),
        PATIENCE,
        "it acts",
    )
