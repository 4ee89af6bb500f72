"""Every value that makes sense is taken, by the chart and then by the API server; of the rest it is said what is wrong."""

import pytest
from imarchive_e2e import node
from imarchive_e2e.node import PROJECT, SYSTEM, Failed

CHART = str(PROJECT / "charts/imarchive")
EVERY_VALUE = str(PROJECT / ".ci/chart-values.yaml")
CERTIFICATE, KEY = "-----BEGIN CERTIFICATE-----", "-----BEGIN PRIVATE KEY-----"

REFUSED = {
    "a value that there is not": (["replica=2"], "'replica' not allowed"),
    "a value that there is not, further in": (["image.sha=sha256:0"], "at '/image'"),
    "more replicas than are of use": (["replicas=6"], "at '/replicas': maximum: got 6, want 5"),
    "half a replica": (["replicas=1.5"], "at '/replicas'"),
    "no image": (["image.repository="], "image.repository is empty: set it to where your cluster can pull"),
    "an image with its tag": (["image.repository=registry.example:5000/imarchive:1"], "set these as image.tag"),
    "a tag that is none": (["image.tag=a b"], "at '/image/tag'"),
    "a digest without its kind": ([f"image.digest={'0' * 64}"], "at '/image/digest'"),
    "an unknown pull policy": (["image.pullPolicy=Sometimes"], "one of 'Always', 'IfNotPresent', 'Never'"),
    "pull secrets without names": (["imagePullSecrets={registry}"], "at '/imagePullSecrets/0': got string, want"),
    "a namespace twice": (["watchNamespaces={acme,acme}"], "at '/watchNamespaces': items at 0 and 1 are equal"),
    "a pattern of namespaces": (["watchNamespaces={acme-*}"], "at '/watchNamespaces/0'"),
    "a level of logs that there is not": (["log=verbose"], "at '/log'"),
    "roots that are no certificates": (["trust.extraRoots=roots.pem"], "by --set-file trust.extraRoots=FILE"),
    "roots with a private key": ([f"trust.extraRoots={CERTIFICATE}{KEY}"], "leave only the certificates"),
    "a label of a selector": (["podLabels.app\\.kubernetes\\.io/name=mine"], "invalid propertyName 'app.kuber"),
    "a label that is a number": (["podLabels.team=7"], "at '/podLabels/team': got number, want string"),
    "resources that Kubernetes does not know": (["resources.maximum.cpu=1"], "'maximum' not allowed"),
    "a spread over nothing": (["topologySpreadConstraints[0].maxSkew=1"], "missing properties 'topologyKey'"),
    "an interval that is none": (["podMonitor.interval=often"], "at '/podMonitor/interval'"),
    "a relay without a sender": (["notify.host=relay.example"], "notify.host is set without notify.from"),
    "a sender without a relay": (["notify.from=a@b.example"], "is set without notify.host: nobody would be mailed"),
    "a sender that is no address": (["notify.host=relay.example", "notify.from=ops"], "at '/notify/from'"),
    "a relay's port that there is not": (["notify.host=relay.example", "notify.port=70000"], "at '/notify/port'"),
    "a relay with its port": (["notify.host=relay.example:25", "notify.from=a@b.example"], "set it as notify.port"),
    "a relay in plain text": (["notify.tls=None"], "at '/notify/tls'"),
    "a relay's port that speaks otherwise": (
        ["notify.host=relay.example", "notify.from=a@b.example", "notify.tls=Implicit", "notify.port=587"],
        "notify.port is 587 with notify.tls Implicit: there servers speak StartTLS",
    ),
    "an endpoint's test that nobody would make": (
        ["watchNamespaces={acme}", "test.endpoint=journal", "test.namespace=globex"],
        "test.endpoint journal is in the namespace globex, which is not one of watchNamespaces",
    ),
}


@pytest.fixture(scope="module", autouse=True)
def story(cluster):
    """The node, whose Helm it is."""


def rendered(*settings: str) -> str:
    words = [word for setting in settings for word in ("--set", setting)]
    return node.helm("template", "imarchive", CHART, "-n", SYSTEM, *words)


@pytest.mark.parametrize(("settings", "words"), REFUSED.values(), ids=REFUSED)
def test_what_makes_no_sense_is_refused_with_a_sentence(settings, words):
    with pytest.raises(Failed) as refusal:
        rendered(*settings)
    assert words in str(refusal.value)


def test_the_api_server_takes_what_is_made_of_every_value():
    # Of namespaces and resources that are there; there is no Prometheus operator.
    fitting = ["watchNamespaces={default,kube-public}", "test.namespace=default", "podMonitor.enabled=false"]
    words = [word for setting in [*fitting, "crds.enabled=true"] for word in ("--set", setting)]
    text = node.helm("template", "imarchive", CHART, "-n", SYSTEM, "--values", EVERY_VALUE, "--no-hooks", *words)
    # That Helm has these objects is no matter of the question.
    said = node.kubectl("apply", "--dry-run=server", "--server-side", "--force-conflicts", "-f", "-", stdin=text)
    assert said.count("serverside-applied (server dry run)") == text.count("\nkind: ")


def test_a_digest_wins_over_a_tag_for_operator_and_archivers():
    digest = f"sha256:{'0' * 64}"
    text = rendered(f"image.digest={digest}", "image.tag=other")
    assert text.count(f"image: imarchive@{digest}") == 2  # the operator's, and that of helm test
    assert f"--image=imarchive@{digest}" in text
    assert "imarchive:other" not in text


def test_pull_secrets_reach_the_operator_its_account_the_check_and_the_archivers():
    text = rendered("imagePullSecrets[0].name=registry", "imagePullSecrets[1].name=mirror")
    assert text.count("- name: registry") == 3
    assert "--image-pull-secrets=registry,mirror" in text


def test_one_replica_has_no_disruption_budget_which_would_keep_its_node_from_being_drained():
    assert "PodDisruptionBudget" in rendered()
    assert "PodDisruptionBudget" not in rendered("replicas=1")
