"""An authority and a certificate for localhost, made once a session by what e2e/mail makes its own with."""

import importlib.util
from pathlib import Path

from ..node import E2E


def made(folder: Path) -> tuple[Path, Path]:
    """The authority to trust, and the server's key with its certificate."""
    specification = importlib.util.spec_from_file_location("certificates", E2E / "mail.d/certificates.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    module.authority(folder, "ca", "Tests")
    module.server(folder, "server", ["localhost"], "127.0.0.1", "ca")
    return folder / "ca.pem", folder / "server.pem"
