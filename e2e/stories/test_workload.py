"""What an Archiver owns stays as declared: changed or deleted by hand it is put right, and else it is left alone."""

import time

import pytest
from imarchive_e2e import archives, node, objects
from imarchive_e2e.chat import ALICE, BOB, FRANK, ZOE, Chat
from imarchive_e2e.objects import archiver, assignment
from imarchive_e2e.organization import Organization
from imarchive_e2e.owned import CLAIM, OWNED, declared, versions
from imarchive_e2e.tables import tables

QUICK = {"batching": {"window": "1s"}, "retry": {"ladder": ["1s", "2s"], "interval": "4s"}}
PROMPT = 30  # seconds that a change may last, on a busy machine
QUIET = 65  # seconds: more than lie between two reports of an archiver, or a failed test and the next
EVERYTHING = "archivers,archivingendpoints,userassignments"
LABEL = "app.kubernetes.io/part-of"
NOTE, RESTARTED = "tool.example/note", "kubectl.kubernetes.io/restartedAt"


@pytest.fixture(scope="module", autouse=True)
def story(organization):
    """The claim is of a class whose volumes may be asked to grow."""
    organization.begin(
        archiver(storage={"size": "5Gi", "storageClassName": "growing"}),
        organization.endpoint("journal", default=True, **QUICK),
        assignment("staff", "journal", [ALICE, BOB]),
    )


@pytest.fixture(scope="module", autouse=True)
def quiet(cluster):
    """Another organization, which nobody touches: with something of each kind that is well, and of two that is not."""
    quiet = Organization("story-workload-quiet")
    quiet.begin(
        archiver(),
        quiet.endpoint("journal"),
        quiet.endpoint("closed", {"port": 1}, default=False),
        assignment("staff", "journal", [ALICE, BOB]),
        assignment("twice", "journal", [ALICE]),
    )
    yield quiet
    quiet.end()


@pytest.fixture(scope="module", autouse=True)
def calm(story, organization, quiet):
    """How it is there once everything has settled, and when that was."""
    for one in (organization, quiet):
        for what in ("archivers/archiver", "archivingendpoints/journal", "userassignments/staff"):
            one.wait(what)
    quiet.kubectl("wait", "archivers/archiver", "--for=jsonpath={.status.defaultEndpoint}=journal", "--timeout=60s")
    node.eventually(
        lambda: quiet.condition("archivingendpoint", "closed", "Ready").get("reason") == "ConnectRefused",
        90,
        "the closed port is noticed",
    )
    reported = "--for=jsonpath={.status.archivers[0].name}=archiver-0"
    quiet.kubectl("wait", "archivingendpoints", "--all", reported, "--timeout=60s")
    time.sleep(2)
    return time.monotonic(), told(quiet), still(quiet), last_try(quiet)


def told(organization) -> dict[str, int]:
    """The events about our objects, with how often each happened."""
    events = [
        event
        for event in node.items("events.events.k8s.io", organization.name)
        if event["regarding"]["apiVersion"].startswith("imarchive.dev/")
    ]
    return {event["metadata"]["uid"]: event.get("series", {}).get("count", 1) for event in events}


def still(organization) -> dict[str, str]:
    """The versions of what nothing should write; a failed test is repeated, and says when that was."""
    kinds = {what.partition("/")[0] for what in (*OWNED, CLAIM)}
    found = versions(organization.name, EVERYTHING, *sorted(kinds))
    return {what: version for what, version in found.items() if what != "ArchivingEndpoint/closed"}


def last_try(organization) -> str:
    return organization.get("archivingendpoint", "closed")["status"]["test"]["startedAt"]


def owned(organization, what: str) -> dict:
    return organization.get(*what.split("/"))


def uid(thing: dict) -> str:
    return thing["metadata"]["uid"]


def await_declared(organization, what: str, before: dict) -> dict:
    """Waits until it is as it was before."""
    return node.eventually(
        lambda: declared(found := owned(organization, what)) == declared(before) and found,
        PROMPT,
        f"{what} is as declared: {declared(before)}",
    )


def pod(organization) -> dict:
    organization.kubectl("rollout", "status", "statefulset/archiver", "--timeout=120s")
    organization.wait("pod/archiver-0")
    return organization.get("pod", "archiver-0")


def in_template(spec: dict) -> dict:
    return {"spec": {"template": {"spec": spec}}}


DRIFTS = {
    "the number of pods": ("statefulset/archiver", {"spec": {"replicas": 0}}),
    "the image": ("statefulset/archiver", in_template({"containers": [{"name": "archiver", "image": "other:1"}]})),
    "the time to end": ("statefulset/archiver", in_template({"terminationGracePeriodSeconds": 1})),
    "where the Service leads to": ("service/archiver", {"spec": {"selector": {"app.kubernetes.io/name": "other"}}}),
    "a port of the Service": ("service/archiver", {"spec": {"ports": [{"port": 443, "targetPort": 1}]}}),
    "whom the Service goes with": ("service/archiver", {"metadata": {"ownerReferences": None}}),
    "the archiver's token": ("serviceaccount/archiver", {"automountServiceAccountToken": True}),
    "the probes' token": ("serviceaccount/imarchive-probe", {"automountServiceAccountToken": True}),
    "who has the archiver's rights": ("rolebinding/archiver", {"subjects": None}),
    "whom the NetworkPolicy lets in": ("networkpolicy/archiver", {"spec": {"ingress": None}}),
    "a label of the certificate's ConfigMap": ("configmap/archiver-ca", {"metadata": {"labels": {LABEL: None}}}),
    "a label of the claim": (CLAIM, {"metadata": {"labels": {LABEL: "other"}}}),
}


@pytest.mark.parametrize(("what", "change"), DRIFTS.values(), ids=DRIFTS)
def test_what_is_changed_by_hand_is_put_right(organization, what, change):
    before = owned(organization, what)
    organization.patch(what, change, strategy="strategic")
    after = await_declared(organization, what, before)
    assert uid(after) == uid(before)
    assert after["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]


def test_what_others_set_stays_while_the_rest_is_put_right(organization):
    everything = (*OWNED, CLAIM)
    organization.kubectl("annotate", *everything, f"{NOTE}=kept")
    organization.kubectl("label", *everything, f"{NOTE}=kept")
    organization.kubectl("rollout", "restart", "statefulset/archiver")
    before = {what: owned(organization, what) for what in everything}
    organization.kubectl("label", *everything, "--overwrite", f"{LABEL}=other")
    after = {what: await_declared(organization, what, before[what]) for what in everything}
    for what, thing in after.items():
        assert (thing["metadata"]["annotations"][NOTE], thing["metadata"]["labels"][NOTE]) == ("kept", "kept"), what
    assert RESTARTED in after["statefulset/archiver"]["spec"]["template"]["metadata"]["annotations"]
    assert after["service/archiver"]["spec"]["clusterIP"] == before["service/archiver"]["spec"]["clusterIP"]
    assert "ca.crt" in after["configmap/archiver-ca"]["data"]


@pytest.mark.parametrize("what", OWNED)
def test_what_is_deleted_is_made_anew(organization, what):
    before = owned(organization, what)
    for kind in ("annotations", "labels"):
        before["metadata"].get(kind, {}).pop(NOTE, None)  # which nobody declared
    before["metadata"] = {name: value for name, value in before["metadata"].items() if value != {}}
    before.get("spec", {}).get("template", {}).get("metadata", {}).get("annotations", {}).pop(RESTARTED, None)
    before.pop("data", None)  # which the archiver fills in, as a test below says
    organization.delete(what, wait=False)

    def made_anew() -> dict | None:
        found = organization.find(what)
        if found is None or uid(found) == uid(before):
            return None
        found.pop("data", None)
        return found if declared(found) == declared(before) else None

    node.eventually(made_anew, PROMPT, f"another {what}, as declared: {declared(before)}")


def test_callers_find_the_certificate_in_a_configmap_that_was_made_anew(organization):
    """Of the same pod: another one would put it there anyway."""
    before = pod(organization)
    organization.delete("configmap/archiver-ca")
    node.eventually(
        lambda: "ca.crt" in (organization.find("configmap/archiver-ca") or {}).get("data", {}), 60, "ca.crt is there"
    )
    assert uid(pod(organization)) == uid(before)


def test_an_account_that_was_made_anew_replaces_the_pod_whose_token_was_of_the_old_one(organization):
    before = pod(organization)
    organization.delete("serviceaccount/archiver")
    node.eventually(lambda: uid(pod(organization)) != uid(before), 60, "another pod archiver-0")
    client = organization.client()
    assert client.post(Chat("account").direct(ALICE, ZOE, "Can you hear me?")).status == 200
    taken = client.books()["acknowledged"]
    reported = f"--for=jsonpath={{.status.messages.acknowledged}}={taken}"
    organization.kubectl("wait", "archivers/archiver", reported, "--timeout=60s")


def test_a_new_secret_name_replaces_the_pod(organization):
    before = pod(organization)
    organization.apply(
        objects.secret("rotated", organization.login, "not the password"),
        organization.endpoint("rotated", {"credentialsSecretRef": {"name": "rotated"}}, default=False, **QUICK),
        assignment("frank", "rotated", [FRANK]),
    )
    node.eventually(lambda: uid(pod(organization)) != uid(before), 60, "another pod archiver-0")


def test_new_content_of_a_secret_is_used_by_the_same_pod(organization):
    before = pod(organization)
    node.eventually(
        lambda: organization.condition("archivingendpoint", "rotated", "Ready").get("reason") == "AuthRejected",
        90,
        "the wrong password is refused",
    )
    organization.apply(objects.secret_of("rotated", organization.login))
    # The kubelet brings new content within a minute or two; to a pod that changes, at once.
    organization.kubectl("annotate", "pod/archiver-0", f"{NOTE}=look")
    # Nobody asks for another test, and without the new content there is none for hours: accounts lock.
    organization.wait("archivingendpoints/rotated")
    mails = archives.count(organization.login)
    assert organization.client().post(Chat("rotated").direct(FRANK, ZOE, "By the new password")).status == 200
    node.eventually(lambda: archives.count(organization.login) > mails, 60, "a mail by the new password")
    after = pod(organization)
    assert uid(after) == uid(before)
    assert after["status"]["containerStatuses"][0]["restartCount"] == 0


def test_a_larger_spool_is_asked_for(organization):
    def requested() -> str:
        return owned(organization, CLAIM)["spec"]["resources"]["requests"]["storage"]

    assert requested() == "5Gi"
    organization.patch("archiver/archiver", {"spec": {"storage": {"size": "6Gi"}}})
    node.eventually(lambda: requested() == "6Gi", PROMPT, "the claim asks for 6Gi")
    organization.wait("archivers/archiver", seconds=10)


def test_a_smaller_spool_is_refused_by_the_api_server(organization):
    with pytest.raises(node.Failed, match="size may only grow"):
        organization.patch("archiver/archiver", {"spec": {"storage": {"size": "1Gi"}}})


def test_an_object_that_cannot_be_understood_says_so_and_does_not_stop_the_rest(organization):
    odd = {"host": "xn--a.archive.example"}  # whether this is Punycode, no rule of the API server can know
    organization.apply(organization.endpoint("odd", odd), organization.endpoint("even", **QUICK))
    organization.wait("archivingendpoints/even")
    said = node.eventually(
        lambda: organization.condition("archivingendpoint", "odd", "Ready"), PROMPT, "odd says how it is"
    )
    assert (said["status"], said["reason"]) == ("False", "Invalid")
    assert organization.condition("archivingendpoint", "odd", "Stalled")["status"] == "True"
    assert "Correct it" in said["message"]


@pytest.mark.parametrize("what", ["archivers/archiver", "archivingendpoints/journal", "userassignments/staff"])
def test_kubectl_wait_knows_when_each_kind_is_ready(organization, what):
    organization.kubectl("wait", what, "--for=condition=Ready", "--timeout=60s")


def test_kubectl_get_shows_each_kind_at_a_glance(organization):
    found = tables(organization.kubectl("get", "imarchive"))
    rows = {row["NAME"]: row for table in found for row in table}
    (the_archiver,) = [row for name, row in rows.items() if name.startswith("archiver.")]
    assert (the_archiver["READY"], the_archiver["DEFAULT"], the_archiver["HELD"]) == ("True", "journal", "0")
    journal = rows["archivingendpoint.imarchive.dev/journal"]
    assert (journal["TYPE"], journal["HOST"]) == ("SecureSMTP", "journal.archive.example:587")
    assert (journal["DEFAULT"], journal["READY"], journal["REASON"]) == ("true", "True", "TestPassed")
    assert rows["archivingendpoint.imarchive.dev/odd"]["REASON"] == "Invalid"
    staff = rows["userassignment.imarchive.dev/staff"]
    assert (staff["ENDPOINT"], staff["READY"], staff["USERS"]) == ("journal", "True", "2")


@pytest.mark.parametrize(
    ("what", "reason"),
    {
        "archiver/archiver": "PodReady",
        "archivingendpoint/journal": "TestPassed",
        "archivingendpoint/closed": "ConnectRefused",
        "userassignment/twice": "Conflict",
    }.items(),
)
def test_kubectl_describe_tells_what_happened(quiet, what, reason):
    _, _, events = quiet.kubectl("describe", what).partition("\nEvents:")
    assert reason in events


def test_a_quiet_minute_writes_nothing_and_tells_nothing(quiet, calm):
    since, events, objects_then, failed_test_at = calm
    time.sleep(max(0.0, since + QUIET - time.monotonic()))
    node.eventually(lambda: last_try(quiet) != failed_test_at, 120, "the closed port is tried again")
    node.eventually(
        lambda: quiet.condition("archivingendpoint", "closed", "Ready").get("reason") == "ConnectRefused",
        60,
        "the closed port is still closed",
    )
    assert told(quiet) == events
    assert still(quiet) == objects_then


def test_what_was_put_right_is_not_written_again_and_again(organization):
    def stands_still() -> bool:
        before = still(organization)
        time.sleep(5)
        return still(organization) == before

    node.eventually(stands_still, 60, "5 s in which nobody writes")
