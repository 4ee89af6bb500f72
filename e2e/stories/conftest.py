"""What every story needs: the node, the image, the chart, the archives, and a namespace of its own."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from imarchive_e2e import archives, chart, node  # noqa: E402
from imarchive_e2e.books import Sent  # noqa: E402
from imarchive_e2e.chat import Chat  # noqa: E402
from imarchive_e2e.ingest import Client  # noqa: E402
from imarchive_e2e.node import E2E, STATE, run  # noqa: E402
from imarchive_e2e.organization import Organization  # noqa: E402


@pytest.fixture(scope="session")
def cluster() -> None:
    """The node with the chart installed; takes what is there, and starts what is missing."""
    if not node.is_up():
        run(E2E / "cluster", "up")
    if not (STATE / "image").exists():
        run(E2E / "image")
    node.enter_network()
    archives.up()
    chart.install()


@pytest.fixture(scope="module")
def organization(cluster: None, request: pytest.FixtureRequest) -> Iterator[Organization]:
    """The story's organization, named after its file; the story begins it, and it is removed afterwards."""
    name = request.module.__name__.rpartition(".")[2].removeprefix("test_").replace("_", "-")
    request.module.its_organization = Organization(f"story-{name}")
    yield request.module.its_organization
    request.module.its_organization.end()


@pytest.fixture(scope="module")
def client(organization: Organization) -> Client:
    """The chat system of the story's organization."""
    return organization.client()


@pytest.fixture(scope="module")
def chat() -> Chat:
    """What its users say in the story."""
    return Chat()


@pytest.fixture(scope="module")
def sent() -> Sent:
    """What was acknowledged in the story."""
    return Sent()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    organization = getattr(item.module, "its_organization", None)
    if report.failed and organization is not None:
        report.sections.append((f"namespace {organization.name}", organization.account()))
    return report
