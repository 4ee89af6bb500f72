"""With a list of namespaces the operator works in these, and cannot do anything anywhere else."""

import json

import pytest
from imarchive_e2e import chart, node, objects
from imarchive_e2e.node import SYSTEM, kubectl
from imarchive_e2e.organization import Organization
from imarchive_e2e.rights import Holder, Right, holders

INSIDE, OUTSIDE = "story-chart-inside", "story-chart-outside"
ARCHIVERS, ENDPOINTS = "archivers.imarchive.dev", "archivingendpoints.imarchive.dev"
ACCOUNT = f"system:serviceaccount:{SYSTEM}:imarchive-operator"
# Who has what everybody has.
ANYBODY = f"system:serviceaccount:{SYSTEM}:default"


@pytest.fixture(scope="module", autouse=True)
def story(cluster):
    organizations = [Organization(INSIDE), Organization(OUTSIDE)]
    for organization in organizations:
        organization.begin()
    chart.install("--set", f"watchNamespaces={{{INSIDE}}}")
    for organization in reversed(organizations):
        organization.apply(objects.archiver(), organization.endpoint("journal", default=True))
    yield
    chart.install()
    for organization in organizations:
        organization.end()


@pytest.fixture(scope="module")
def inside():
    return Organization(INSIDE)


@pytest.fixture(scope="module")
def outside():
    return Organization(OUTSIDE)


def rights_in(namespace: str, account: str) -> set[Right]:
    """What the API server itself says that the account may do there."""
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": namespace}}
    # Its schema is nothing that this account may look at.
    said = kubectl("create", "--validate=false", "-f", "-", "-o", "json", "--as", account, stdin=json.dumps(review))
    found = set()
    for rule in json.loads(said)["status"]["resourceRules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for name in rule.get("resourceNames") or [""]:
                    found |= {Right(verb, group, resource, name) for verb in rule["verbs"]}
    return found


def own_rights_in(namespace: str) -> set[Right]:
    return rights_in(namespace, ACCOUNT) - rights_in(namespace, ANYBODY)


def given_in(place: str, found: list[Holder]) -> set[Right]:
    here = [holder for holder in found if (holder.account, holder.place) == ("imarchive-operator", place)]
    return {right for holder in here for rule in holder.rules for right in rule.rights}


def test_an_organization_inside_is_served(inside):
    inside.wait(f"{ENDPOINTS}/journal")
    inside.wait(f"{ARCHIVERS}/archiver")


def test_its_archiver_was_given_its_rights_by_an_operator_that_has_only_a_role(inside):
    assert inside.get("rolebinding", "archiver")["roleRef"]["name"] == "imarchive-archiver"
    node.eventually(lambda: inside.get(ARCHIVERS, "archiver")["status"].get("messages"), 60, "the archiver reports")


def test_an_organization_outside_is_not_touched(outside):
    for kind, name in ((ARCHIVERS, "archiver"), (ENDPOINTS, "journal")):
        assert outside.get(kind, name)["status"] == {"observedGeneration": -1}
    owned = outside.kubectl("get", "sts,svc,pvc,jobs,pods,netpol,rolebindings,cm,sa", "-o", "name").split()
    of_the_cluster = ["configmap/kube-root-ca.crt", "serviceaccount/chat", "serviceaccount/default"]
    assert sorted(owned) == of_the_cluster


def test_no_clusterrole_is_bound_to_the_operator():
    bindings = json.loads(kubectl("get", "clusterrolebindings,rolebindings", "-A", "-o", "json"))["items"]
    bound = [
        (binding["kind"], binding["metadata"].get("namespace"), binding["roleRef"]["kind"])
        for binding in bindings
        for subject in binding.get("subjects", [])
        if (subject["name"], subject.get("namespace")) == ("imarchive-operator", SYSTEM)
    ]
    assert sorted(bound) == [("RoleBinding", SYSTEM, "Role"), ("RoleBinding", INSIDE, "Role")]


def test_the_operator_has_just_the_rights_that_the_chart_gives_it():
    given = holders(f"watchNamespaces={{{INSIDE}}}")
    assert own_rights_in(INSIDE) == given_in(INSIDE, given) != set()
    assert own_rights_in(SYSTEM) == given_in(SYSTEM, given) != set()
    for namespace in (OUTSIDE, "default", "kube-system"):
        assert own_rights_in(namespace) == set()


def test_it_may_not_read_secrets_anywhere():
    for namespace in (INSIDE, OUTSIDE, SYSTEM, "kube-system"):
        assert kubectl_can("list", "secrets", namespace) == "no"
    # Asked in the same way, this it may.
    assert kubectl_can("create", "jobs.batch", INSIDE) == "yes"


def kubectl_can(verb: str, resource: str, namespace: str) -> str:
    # "no" is exit 1.
    try:
        return kubectl("auth", "can-i", verb, resource, "-n", namespace, "--as", ACCOUNT).strip()
    except node.Failed as said:
        return str(said).rpartition(" ")[2]
