"""The certificates of the test servers: two authorities, what they issue, and one that is its own."""

import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

VALID = timedelta(days=3650)  # longer than any test that turns the clock forward
AUTHORITY = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"]
SERVER = ["basicConstraints=critical,CA:FALSE", "keyUsage=critical,digitalSignature", "extendedKeyUsage=serverAuth"]


def authority(directory: Path, name: str, title: str) -> None:
    """Writes NAME.pem, the certificate that tests trust or do not trust, and NAME.key."""
    _issue(directory / f"{name}.key", directory / f"{name}.pem", title, AUTHORITY)


def server(
    directory: Path, name: str, names: list[str], address: str, issuer: str | None, expired: bool = False
) -> None:
    """Writes NAME.pem, key and certificate in the order that Postfix wants, and NAME.crt, the certificate alone.

    Without an issuer the certificate is signed with its own key. An expired one has been so since yesterday.
    """
    key, certificate = directory / f"{name}.key", directory / f"{name}.crt"
    alternatives = [f"DNS:{dns}" for dns in [*names, "localhost"]] + [f"IP:{address}"]
    extensions = [*SERVER, "subjectAltName=" + ",".join(alternatives)]
    signer = None if issuer is None else directory / issuer
    begin = datetime.now(UTC) - (VALID + timedelta(days=1) if expired else timedelta())
    _issue(key, certificate, names[0], extensions, signer, begin)
    both = directory / f"{name}.pem"
    both.touch(mode=0o600)
    both.write_text(key.read_text() + certificate.read_text())
    key.unlink()


def _issue(
    key: Path,
    certificate: Path,
    title: str,
    extensions: list[str],
    signer: Path | None = None,
    begin: datetime | None = None,
) -> None:
    """By `openssl ca`, since `openssl req` and `openssl x509` know no first day but today."""
    begin = begin or datetime.now(UTC)
    with TemporaryDirectory() as folder:
        request, settings = Path(folder, "request"), Path(folder, "settings")
        Path(folder, "index").touch()
        # The system's configuration would add extensions of its own.
        settings.write_text(SETTINGS.replace("FOLDER", folder))
        wanted = [word for extension in extensions for word in ("-addext", extension)]
        _openssl(
            *("req", "-config", settings, "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", f"/CN={title}", *wanted, "-keyout", key, "-out", request),
        )
        signed = ["-selfsign", "-keyfile", key]
        if signer is not None:
            signed = ["-cert", f"{signer}.pem", "-keyfile", f"{signer}.key"]
        dates = ["-startdate", f"{begin:%Y%m%d%H%M%SZ}", "-enddate", f"{begin + VALID:%Y%m%d%H%M%SZ}"]
        _openssl(
            *("ca", "-config", settings, "-batch", "-notext", *signed, *dates, "-in", request, "-out", certificate),
        )
    os.chmod(key, 0o600)
    os.chmod(certificate, 0o644)


SETTINGS = """
[req]
distinguished_name = names
[ca]
default_ca = it
[it]
database = FOLDER/index
new_certs_dir = FOLDER
rand_serial = yes
default_md = sha256
policy = names
copy_extensions = copy
x509_extensions = keys
[names]
commonName = supplied
[keys]
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


def _openssl(*arguments: str | Path) -> None:
    done = subprocess.run(["openssl", *arguments], text=True, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"openssl {arguments[0]} could not make {arguments[-1].name}: {done.stderr.strip()}")
