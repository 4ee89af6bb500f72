"""The certificates of the test servers: two authorities, what they issue, and one that is its own."""

import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

VALID_DAYS = 3650  # longer than any test that turns the clock forward
AUTHORITY = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]
SERVER = ["basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature", "extendedKeyUsage=serverAuth"]


def authority(directory: Path, name: str, title: str) -> None:
    """Writes NAME.pem, the certificate that tests trust or do not trust, and NAME.key."""
    _issue(directory / f"{name}.key", directory / f"{name}.pem", title, AUTHORITY)


def server(directory: Path, name: str, names: list[str], address: str, issuer: str | None) -> None:
    """Writes NAME.pem, key and certificate in the order that Postfix wants, and NAME.crt, the certificate alone.

    Without an issuer the certificate is signed with its own key.
    """
    key, certificate = directory / f"{name}.key", directory / f"{name}.crt"
    alternatives = [f"DNS:{dns}" for dns in [*names, "localhost"]] + [f"IP:{address}"]
    extensions = [*SERVER, "subjectAltName=" + ",".join(alternatives)]
    signer = [] if issuer is None else ["-CA", directory / f"{issuer}.pem", "-CAkey", directory / f"{issuer}.key"]
    _issue(key, certificate, names[0], extensions, signer)
    both = directory / f"{name}.pem"
    both.touch(mode=0o600)
    both.write_text(key.read_text() + certificate.read_text())
    key.unlink()


def _issue(key: Path, certificate: Path, title: str, extensions: list[str], signer: Iterable = ()) -> None:
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-subj", f"/CN={title}", "-days", str(VALID_DAYS), "-keyout", key, "-out", certificate]
    for extension in extensions:
        command += ["-addext", extension]
    # The system's configuration would add extensions of its own, so it gets an empty one.
    empty = "[req]\ndistinguished_name = none\n[none]\n"
    command += ["-config", "/dev/stdin", *signer]
    done = subprocess.run(command, input=empty, text=True, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl could not issue {certificate.name}: {done.stderr.strip()}")
    os.chmod(key, 0o600)
    os.chmod(certificate, 0o644)
