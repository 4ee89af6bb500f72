"""docs/rights.md, written from the chart's templates."""

import textwrap

from .node import PROJECT, Failed
from .rights import ENDPOINT, Holder, Rule, holders

PAGE = PROJECT / "docs/rights.md"
WRITER = "e2e/python e2e/rights table"
WIDTH = 120

HEAD = f"""\
<!-- Written by `{WRITER}` from the comments in charts/imarchive/templates; what is changed here is lost. -->

# Who may do what

Everything that the chart allows anybody, and why. Nobody is given a verb on Secrets: the operator makes pods that mount
them, in the namespace that they are in. Nobody is given `*`, `escalate` or `impersonate`. CI compares this page with the
chart, and what is allowed with what was done, by the API server's audit log: a right that is never used is taken away.

"""

# Of each role: the heading that it is under, and where its rules hold.
PLACES = {
    "imarchive-operator": (
        "The operator: ServiceAccount `imarchive-operator`",
        "In every namespace, by a ClusterRole. With `watchNamespaces` in those namespaces only, by a Role in each, and no "
        "ClusterRole is bound to it. A kind of which the operator needs few objects is limited to their names: other "
        "objects of that kind it can neither see nor touch. It deletes nothing.",
    ),
    "imarchive-operator-lease": (
        "The operator: ServiceAccount `imarchive-operator`",
        "In the namespace of the release, by a Role:",
    ),
    "imarchive-archiver": (
        "An archiver: ServiceAccount `archiver`",
        "In its own namespace, by the ClusterRole `imarchive-archiver`, which the operator binds there. To verify a caller's "
        "token needs no right: the cluster's keys are open to every ServiceAccount.",
    ),
    "imarchive-check": (
        "`helm test`: ServiceAccount `imarchive-check`",
        "In the namespace of the release; what it may do with organizations' objects in `test.namespace`, if that is set.",
    ),
    "imarchive-edit": (
        "People",
        "Who has the cluster's role `edit` or `admin`, where they have it, by aggregation:",
    ),
    "imarchive-view": (
        "People",
        "Who has the cluster's role `view`, `edit` or `admin`, where they have it, by aggregation:",
    ),
}

PROBE = """\
## A test of an endpoint: ServiceAccount `imarchive-probe`

Nothing: its pods get no token.

"""


def page() -> str:
    found = holders(f"test.endpoint={ENDPOINT}")
    roles = {holder.rules[0].role: holder for holder in found}
    if unknown := roles.keys() ^ PLACES.keys():
        raise Failed(f"{', '.join(sorted(unknown))}: the chart and PLACES in {__file__} should have the same roles")
    text, heading = HEAD, ""
    for role, (title, where) in PLACES.items():
        if title != heading:
            text += f"{PROBE if title == 'People' else ''}## {title}\n\n"
        text += f"{textwrap.fill(where, WIDTH)}\n\n{table(roles[role])}\n"
        heading = title
    return text.rstrip("\n") + "\n"


def table(holder: Holder) -> str:
    rows = ["| may | on | named | why |", "| --- | --- | --- | --- |"]
    return "\n".join(rows + [row(rule) for rule in holder.rules]) + "\n"


def row(rule: Rule) -> str:
    kinds = ", ".join(f"`{resource}`" for resource in rule.resources)
    groups = ", ".join(filter(None, rule.groups))
    named = ", ".join("the one of `test.endpoint`" if name == ENDPOINT else f"`{name}`" for name in rule.names)
    return f"| {', '.join(rule.verbs)} | {kinds} {f'({groups})' if groups else ''} | {named or 'any'} | {rule.why} |"


def write() -> None:
    PAGE.write_text(page())


def compare() -> None:
    if not PAGE.exists() or PAGE.read_text() != page():
        raise Failed(f"docs/rights.md is not what the chart says: {WRITER}")
