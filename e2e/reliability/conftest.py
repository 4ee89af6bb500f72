"""What every proof needs: the archiver that was built, and certificates for the archive that its mail goes to."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from imarchive_e2e.faults import certificates  # noqa: E402
from imarchive_e2e.faults.run import Place  # noqa: E402


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A folder on a real disk."""
    folder = tmp_path_factory.mktemp("archivers")
    return Place(folder, *certificates.made(folder))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What each proof counted."""
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties:
                terminalreporter.write_line(f"{name}: {value}")
