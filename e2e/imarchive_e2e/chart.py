"""The chart, as the demo and the stories have it: it trusts the archives, and mails administrators by a relay of theirs."""

from . import archives, node, objects
from .node import SYSTEM

HOST, LOGIN = "relay.archive.example", "imarchive"  # the service `notices` of e2e/mail, which no outage stops
SECRET = "relay"


def install(*more: str) -> str:
    """Installs the chart or brings it up to date; returns its revision.

    Whatever was set before, or is not said by `more`, has its default again.
    """
    prepare()
    return node.install_chart(archives.authority(), *relay(), *more)


def prepare() -> None:
    """The relay's password, before the operator is there: what is mounted later takes the kubelet a minute."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": SYSTEM}}
    node.apply(namespace, *objects.within(SYSTEM, objects.secret_of(SECRET, LOGIN)))


def relay() -> list[str]:
    """The values that say so."""
    values = [
        f"notify.host={HOST}",
        f"notify.port={archives.mail()['services']['notices']['port']}",
        f"notify.from={archives.account(LOGIN)['address']}",
        f"notify.secretName={SECRET}",
    ]
    return [word for value in values for word in ("--set", value)]
