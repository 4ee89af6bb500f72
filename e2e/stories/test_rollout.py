"""A version of the archiver that cannot run reaches a few archivers and no more; the next one mends them by itself."""

import json
import time

import pytest
from imarchive_e2e import chart, node
from imarchive_e2e.node import SYSTEM
from imarchive_e2e.objects import archiver, namespace, within

AT_ONCE = 5
NAMESPACES = [f"story-rollout-{number}" for number in range(1, AT_ONCE + 3)]
LABEL = {"tool.example/story": "rollout"}
SELECTOR = ("-A", "-l", "tool.example/story=rollout")
SETS = ("-A", "-l", "app.kubernetes.io/part-of=imarchive,app.kubernetes.io/name=archiver")
# Nobody listens there, so that the pull fails at once.
REPOSITORY, TAG = f"{node.ADDRESS}:1/imarchive", "no-such-version"
MISSING = f"{REPOSITORY}:{TAG}"
FIXED = "docker.io/library/imarchive:dev"  # to whom compares names, another image than imarchive:dev
OPERATOR = "deployment/imarchive-operator"
LONG = 10.0  # seconds: twice as long as archivers that wait for others let pass before they look again


@pytest.fixture(scope="module", autouse=True)
def organizations(cluster):
    """More archivers than may be replaced at once, all of them Ready."""
    node.kubectl("delete", "namespace", *NAMESPACES, "--ignore-not-found")
    for name in NAMESPACES:
        one = archiver()
        one["metadata"]["labels"] = LABEL
        node.apply(namespace(name), *within(name, one))
    all_ready()
    yield
    node.kubectl("delete", "namespace", *NAMESPACES, "--wait=false")
    # The chart's own word again, also where the story had another.
    chart.install("--force-conflicts")


def all_ready() -> None:
    node.kubectl("wait", "archivers", *SELECTOR, "--for=condition=Ready", "--timeout=180s")


def give(image: str) -> None:
    """Lets archivers run this image from now on; the operator itself stays what it is."""
    deployment = node.get("deployment", "imarchive-operator", SYSTEM)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    given = [f"--image={image}" if word.startswith("--image=") else word for word in container["args"]]
    change = {"spec": {"template": {"spec": {"containers": [{"name": container["name"], "args": given}]}}}}
    node.kubectl("patch", OPERATOR, "-n", SYSTEM, "-p", json.dumps(change))
    node.kubectl("rollout", "status", OPERATOR, "-n", SYSTEM, "--timeout=180s")


def sets() -> dict[str, dict]:
    """The StatefulSet of every archiver in the cluster, by namespace."""
    found = json.loads(node.kubectl("get", "statefulsets", *SETS, "-o", "json"))["items"]
    return {one["metadata"]["namespace"]: one for one in found}


def given(image: str) -> set[str]:
    """The namespaces whose archiver is, or is about to be, of this image."""
    return {
        name
        for name, one in sets().items()
        if one["spec"]["template"]["spec"]["containers"][0]["image"] == image
    }


def pods() -> dict[str, str]:
    """The UID of each archiver's pod that is Ready."""
    found = json.loads(node.kubectl("get", "pods", *SETS, "-o", "json"))["items"]
    return {
        one["metadata"]["namespace"]: one["metadata"]["uid"]
        for one in found
        if node.condition(one, "Ready").get("status") == "True"
    }


def condition(name: str, kind: str) -> dict:
    return node.condition(node.get("archiver", "archiver", name), kind)


@pytest.fixture(scope="module")
def before(organizations) -> dict[str, str]:
    return pods()


@pytest.fixture(scope="module")
def broken(before) -> set[str]:
    """The namespaces that the missing image came to, once it goes no further, also not by an operator started anew."""
    give(MISSING)
    node.eventually(lambda: len(given(MISSING)) >= AT_ONCE, 120, f"{AT_ONCE} archivers are of the missing image")
    node.kubectl("rollout", "restart", OPERATOR, "-n", SYSTEM)
    node.kubectl("rollout", "status", OPERATOR, "-n", SYSTEM, "--timeout=180s")
    time.sleep(LONG)
    return given(MISSING)


def test_a_missing_image_reaches_no_more_archivers_than_may_be_replaced_at_once(broken):
    assert len(broken) == AT_ONCE


def test_those_that_wait_for_their_turn_go_on_as_before(broken, before):
    spared = set(NAMESPACES) - broken
    assert spared
    now = pods()
    assert {name: now.get(name) for name in spared} == {name: before[name] for name in spared}
    for name in spared:
        assert condition(name, "Ready")["status"] == "True"
        assert condition(name, "Reconciling")["reason"] == "UpgradePending"


def test_an_archiver_whose_image_is_missing_says_so(broken):
    for name in broken & set(NAMESPACES):
        said = node.eventually(
            lambda name=name: (found := condition(name, "Ready")).get("reason") == "ImagePullBackOff" and found,
            60,
            f"{name} says that its image cannot be pulled",
        )
        assert said["status"] == "False"
        assert TAG in said["message"]


def test_an_image_that_is_there_brings_all_of_them_up_without_a_hand(broken):
    give(FIXED)
    node.eventually(lambda: given(FIXED) >= set(NAMESPACES), 180, "all are of the image that is there")
    node.eventually(lambda: pods().keys() >= set(NAMESPACES), 120, "all pods are Ready")
    all_ready()
    for name in NAMESPACES:
        node.eventually(lambda name=name: condition(name, "Reconciling") == {}, 60, f"{name} has settled")


def test_a_chart_whose_image_is_missing_leaves_the_operator_and_the_archivers_at_work(organizations):
    running = pods()
    chart = ("upgrade", "imarchive", str(node.PROJECT / "charts/imarchive"), "-n", SYSTEM, "--reuse-values")
    node.helm(*chart, "--force-conflicts", "--set", f"image.repository={REPOSITORY},image.tag={TAG}")
    node.eventually(lambda: "ImagePull" in node.kubectl("get", "pods", "-n", SYSTEM), 60, "the image is missed")
    name = NAMESPACES[0]
    node.kubectl("delete", "networkpolicy", "archiver", "-n", name)
    node.eventually(lambda: node.items("networkpolicies", name), 60, "an operator that still works puts it right")
    assert {one: pods().get(one) for one in NAMESPACES} == {one: running[one] for one in NAMESPACES}
