"""The chart's life with an organization in the cluster: tested, upgraded, rolled back, uninstalled, installed again."""

import json
import re
import subprocess

import pytest
from imarchive_e2e import chart, node, objects
from imarchive_e2e.ingest import Client
from imarchive_e2e.node import SYSTEM, Failed, helm, kubectl

CRDS = ["archivers.imarchive.dev", "archivingendpoints.imarchive.dev", "userassignments.imarchive.dev"]
ARCHIVERS, ENDPOINTS, _ = CRDS
WORKLOAD = [("statefulset", "archiver"), ("pvc", "spool"), ("service", "archiver")]
KEPT = [(ARCHIVERS, "archiver"), (ENDPOINTS, "journal"), *WORKLOAD]
OPERATOR = ("-n", SYSTEM, "-l", "app.kubernetes.io/component=operator")
SAID_BY_A_PERSON = "Said by a person."
MESSAGES = 20


@pytest.fixture(scope="module", autouse=True)
def story(organization):
    quick = {"batching": {"window": "1s"}, "retry": {"ladder": ["1s"], "interval": "2s"}}
    organization.begin(
        objects.archiver(),
        organization.endpoint("journal", default=True, **quick),
        organization.endpoint("closed", {"port": 1}, default=False),
    )
    organization.wait("archivingendpoints.imarchive.dev/journal")
    organization.wait("archivers.imarchive.dev/archiver")
    yield
    chart.install("--take-ownership", "--force-conflicts")


@pytest.fixture(scope="module")
def client(organization):
    return Client(organization.name, "chat")


def set_values(*settings: str) -> str:
    words = [word for setting in settings for word in ("--set", setting)]
    return chart.install(*words)


def helm_test(organization, endpoint: str) -> tuple[str, str]:
    """How the check of this endpoint ends, and what it says. When it fails Helm waits for the whole timeout."""
    set_values(f"test.endpoint={endpoint}", f"test.namespace={organization.name}")
    before = check_pod().get("metadata", {}).get("uid")
    command = [node.E2E / "cluster", "exec", "--", "helm", "test", "imarchive", "-n", SYSTEM]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        pod = node.eventually(lambda: ended(before), 120, "the check ends")
        if pod["status"]["phase"] == "Succeeded":
            assert running.wait(60) == 0
        else:
            assert running.poll() != 0
            running.terminate()
    return pod["status"]["phase"], kubectl("logs", "-n", SYSTEM, "imarchive-check")


def check_pod() -> dict:
    return json.loads(kubectl("get", "pod", "imarchive-check", "-n", SYSTEM, "-o", "json", "--ignore-not-found") or "{}")


def ended(before: str | None) -> dict | None:
    """The pod of the check, when it is another than before and came to an end."""
    pod = check_pod()
    over = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return pod if over and pod["metadata"]["uid"] != before else None


def operator_pods() -> set[str]:
    """Those that are there to stay."""
    pods = json.loads(kubectl("get", "pods", *OPERATOR, "-o", "json"))["items"]
    return {pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]}


def crd_uids() -> list[str]:
    return [json.loads(kubectl("get", "crd", name, "-o", "json"))["metadata"]["uid"] for name in CRDS]


def untouched(organization) -> dict:
    """What no upgrade of the operator may change: the identity of all objects, the spec of the workload, its pod."""
    pod = organization.get("pod", "archiver-0")
    kept = {"pod": pod["metadata"]["uid"], "restarts": pod["status"]["containerStatuses"][0]["restartCount"]}
    for kind, name in KEPT:
        metadata = organization.get(kind, name)["metadata"]
        kept[f"{kind} {name}"] = (metadata["uid"], metadata.get("generation"))
    return {**kept, "crds": crd_uids()}


def test_two_replicas_are_ready_and_one_of_them_leads():
    deployment = node.get("deployment", "imarchive-operator", SYSTEM)
    assert deployment["status"]["readyReplicas"] == 2
    leader = node.get("lease", "imarchive-operator", SYSTEM)["spec"]["holderIdentity"]
    assert leader in operator_pods()


def test_a_node_is_drained_of_one_replica_at_a_time():
    said = node.eventually(
        lambda: (found := node.get("pdb", "imarchive-operator", SYSTEM)["status"]).get("expectedPods") == 2 and found,
        30,
        "the PodDisruptionBudget counts both replicas",
    )
    assert said["desiredHealthy"] == 1


def test_the_notes_name_the_next_commands_and_the_first_of_them_works():
    notes = helm("get", "notes", "imarchive", "-n", SYSTEM)
    commands = re.findall(r"^  (helm|kubectl) (.+)$", notes, re.MULTILINE)
    assert [program for program, _ in commands] == ["helm", "kubectl", "kubectl", "kubectl"]
    said = helm(*commands[0][1].split())
    assert said.count("The resources of imarchive.dev are served.") == 1
    assert "The examples are valid." in said


def test_helm_test_asks_for_a_test_of_an_endpoint_and_waits_until_it_passed(organization):
    before = organization.get(ENDPOINTS, "journal")["status"]["test"]["finishedAt"]
    how, said = helm_test(organization, "journal")
    assert (how, said.splitlines()[-1]) == ("Succeeded", f"{organization.name}/journal passed its test.")
    assert organization.get(ENDPOINTS, "journal")["status"]["test"]["finishedAt"] > before


def test_helm_test_says_why_an_endpoint_failed_its_test(organization):
    how, said = helm_test(organization, "closed")
    assert how == "Failed"
    assert f"{organization.name}/closed failed its test: ConnectRefused: " in said


def test_helm_test_says_that_there_is_no_such_endpoint(organization):
    how, said = helm_test(organization, "journl")
    assert how == "Failed"
    assert f"there is no ArchivingEndpoint {organization.name}/journl" in said


def test_an_upgrade_and_a_rollback_replace_the_operator_and_leave_the_organization_alone(organization):
    kept, pods, revision = untouched(organization), operator_pods(), set_values()
    assert operator_pods() == pods
    set_values("podAnnotations.changed=yes")
    upgraded = operator_pods()
    assert not upgraded & pods
    helm("rollback", "imarchive", revision, "-n", SYSTEM, "--wait", "--timeout=180s")
    assert not operator_pods() & upgraded
    assert settled(organization) == kept


def settled(organization) -> dict:
    """After the new leader looked at everything: it answers a request for a test, which comes last."""
    asked = node.now()
    organization.kubectl("annotate", ENDPOINTS, "journal", "--overwrite", f"imarchive.dev/test-requested-at={asked}")

    def answered() -> bool:
        return organization.get(ENDPOINTS, "journal")["status"].get("lastHandledTestAt") == asked

    node.eventually(answered, 60, "the new leader answers a request for a test")
    return untouched(organization)


def test_uninstalled_it_leaves_every_object_and_the_archiver_goes_on(organization, client, chat):
    kept = untouched(organization)
    said = helm("uninstall", "imarchive", "-n", SYSTEM, "--wait", "--timeout=120s")
    assert all(name in said for name in CRDS), said
    node.eventually(lambda: not operator_pods(), 60, "the operator is gone")
    client.hand_in(chat.working_day(MESSAGES))
    client.drained(60)  # without the operator
    assert untouched(organization) == kept


def test_installed_again_it_takes_over_what_is_there(organization, client):
    kept = untouched(organization)
    chart.install()
    assert settled(organization) == kept
    # With the rights that it has again, the archiver tells of what it did meanwhile.
    acknowledged = client.books()["acknowledged"]
    node.eventually(
        lambda: organization.get(ARCHIVERS, "archiver")["status"]["messages"]["acknowledged"] == acknowledged,
        90,
        "the books are published",
    )


def test_definitions_that_a_person_applied_are_not_taken_over_unasked():
    helm("uninstall", "imarchive", "-n", SYSTEM, "--wait", "--timeout=120s")
    apply_definitions_by_hand()
    with pytest.raises(Failed) as refusal:
        chart.install()
    assert "cannot be imported into the current release" in str(refusal.value)


def test_they_are_taken_over_when_that_is_asked_for(organization):
    kept = crd_uids()
    chart.install("--take-ownership", "--force-conflicts")
    assert crd_uids() == kept
    assert SAID_BY_A_PERSON not in kubectl("get", "crd", CRDS[0], "-o", "json")
    assert chart.install(), "from then on without being asked"


def apply_definitions_by_hand() -> None:
    """As `operator crds | kubectl apply --server-side -f -` leaves them, of another version."""
    for name in CRDS:
        kubectl("label", "crd", name, "app.kubernetes.io/managed-by-")
        kubectl("annotate", "crd", name, "meta.helm.sh/release-name-", "meta.helm.sh/release-namespace-")
        found = json.loads(kubectl("get", "crd", name, "-o", "json"))
        found["metadata"] = {"name": name}
        found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = SAID_BY_A_PERSON
        del found["status"]
        kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(found))
