"""The rights that the chart gives: who may do what, where, and why, as its rendered templates say."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from .node import E2E, PROJECT, SYSTEM, Failed, run

CHART = PROJECT / "charts/imarchive"
ENDPOINT = "the-endpoint-of-the-test"  # stands for the value test.endpoint
SOME_NAMESPACES = ["acme", "globex"]
AGGREGATION = "rbac.authorization.k8s.io/aggregate-to-"
# Bound by the operator, not by the chart.
BOUND_BY_THE_OPERATOR = {"imarchive-archiver": "archiver"}
NEVER = {"escalate", "impersonate", "*"}


@dataclass(frozen=True)
class Rule:
    """A rule of a Role or ClusterRole."""

    role: str
    groups: tuple[str, ...]
    resources: tuple[str, ...]
    names: tuple[str, ...]
    verbs: tuple[str, ...]
    why: str

    @property
    def rights(self) -> Iterator["Right"]:
        for group in self.groups:
            for resource in self.resources:
                for name in self.names or ("",):
                    for verb in self.verbs:
                        yield Right(verb, group, resource, name)


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one kind; the name is empty when it is on all of that kind."""

    verb: str
    group: str
    resource: str
    name: str

    def __str__(self) -> str:
        kind = f"{self.resource}.{self.group}" if self.group else self.resource
        return " ".join(filter(None, (self.verb, kind, self.name)))


@dataclass(frozen=True)
class Holder:
    """Who has a role, and where: a ServiceAccount, or people by the cluster's own roles."""

    account: str
    people: tuple[str, ...]
    place: str  # a namespace; empty when it is all, or each of its own
    rules: tuple[Rule, ...]


def rendered(*values: str) -> list[tuple[dict, dict]]:
    """Each object of the chart, with the comment above each of its rules."""
    helm = Path(run(E2E / "tools/build").strip()) / "helm"
    settings = [word for value in values for word in ("--set", value)]
    text = run(helm, "template", "imarchive", CHART, "--namespace", SYSTEM, *settings)
    documents = [document for document in re.split(r"^---$", text, flags=re.MULTILINE) if document.strip()]
    return [(found, reasons(document)) for document in documents if (found := yaml.safe_load(document))]


def reasons(document: str) -> list[str]:
    """The comment above each rule of a role, joined to one line."""
    lines = document.splitlines()
    top = dict((key.value, value) for key, value in yaml.compose(document).value)
    rules = top["rules"].value if "rules" in top else []
    return [comment_above(lines, rule.start_mark.line) for rule in rules]


def comment_above(lines: list[str], line: int) -> str:
    found: list[str] = []
    while line > 0 and lines[line - 1].lstrip().startswith("#"):
        line -= 1
        found.insert(0, lines[line].strip().lstrip("# "))
    return " ".join(found)


def holders(*values: str) -> list[Holder]:
    objects = rendered(*values)
    roles = {place_of(role): rules_of(role, why) for role, why in objects if role["kind"] in ("Role", "ClusterRole")}
    found = []
    for binding, _ in objects:
        if binding["kind"] in ("RoleBinding", "ClusterRoleBinding"):
            namespace = binding["metadata"].get("namespace", "")
            reference = binding["roleRef"]
            rules = roles[reference["kind"], namespace if reference["kind"] == "Role" else "", reference["name"]]
            found += [Holder(subject["name"], (), namespace, rules) for subject in binding["subjects"]]
    for role, _ in objects:
        if role["kind"] == "ClusterRole" and (account := BOUND_BY_THE_OPERATOR.get(role["metadata"]["name"])):
            found.append(Holder(account, (), "", roles[place_of(role)]))
        labels = role["metadata"].get("labels", {})
        people = tuple(sorted(label.removeprefix(AGGREGATION) for label in labels if label.startswith(AGGREGATION)))
        if people:
            found.append(Holder("", people, "", roles[place_of(role)]))
    return found


def place_of(role: dict) -> tuple[str, str, str]:
    return role["kind"], role["metadata"].get("namespace", ""), role["metadata"]["name"]


def rules_of(role: dict, why: list[str]) -> tuple[Rule, ...]:
    fields = ("apiGroups", "resources", "resourceNames", "verbs")
    return tuple(
        Rule(role["metadata"]["name"], *(tuple(rule.get(field, ())) for field in fields), reason)
        for rule, reason in zip(role["rules"], why, strict=True)
    )


def granted() -> dict[str, set[Right]]:
    """All rights that each ServiceAccount is given, wherever."""
    found: dict[str, set[Right]] = {}
    for holder in holders(f"test.endpoint={ENDPOINT}"):
        if holder.account:
            found.setdefault(holder.account, set()).update(right for rule in holder.rules for right in rule.rights)
    return found


def wrong() -> Iterator[str]:
    """What the chart must never give, and what it forgot to say."""
    everywhere = holders(f"test.endpoint={ENDPOINT}")
    listed = holders(f"watchNamespaces={{{','.join(SOME_NAMESPACES)}}}")
    for rule in {rule for holder in [*everywhere, *listed] for rule in holder.rules}:
        title = f"{rule.role}: {', '.join(rule.verbs)} {', '.join(rule.resources)}"
        if not rule.why:
            yield f"{title}: no comment above the rule says why"
        if "secrets" in rule.resources:
            yield f"{title}: nobody is given a right to Secrets"
        if NEVER.intersection((*rule.verbs, *rule.resources, *rule.groups)):
            yield f"{title}: nobody is given so much"
    accounts = [holder for holder in listed if holder.account == "imarchive-operator"]
    if (places := sorted(holder.place for holder in accounts)) != sorted([*SOME_NAMESPACES, SYSTEM]):
        yield f"with watchNamespaces {SOME_NAMESPACES} the operator has rights in {places}"
    (whole,) = (holder.rules for holder in everywhere if holder.account == "imarchive-operator" and not holder.place)
    for holder in accounts:
        if holder.place in SOME_NAMESPACES and holder.rules != whole:
            yield f"with watchNamespaces the operator has other rights in {holder.place} than without"


def checked() -> None:
    if problems := sorted(wrong()):
        raise Failed("\n".join(problems))
