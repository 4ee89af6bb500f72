"""What DIR holds: the ports and mailboxes, their certificates and passwords, and the configuration of both servers."""

import json
import re
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

import certificates

TEMPLATES = Path(__file__).resolve().parent
SRV = "/srv"  # where the servers see DIR


@dataclass(frozen=True)
class Service:
    """A port of Postfix. Its certificate carries the names; the issuer None means that it is its own."""

    port: int
    tls: str
    names: tuple[str, ...]
    issuer: str | None = "ca"
    passwords: bool = True


SERVICES = {
    # vault is tested for STARTTLS on this port, hence its name.
    "submission": Service(587, "StartTLS", ("journal.archive.example", "vault.archive.example")),
    "smtps": Service(465, "Implicit", ("vault.archive.example",)),
    "selfsigned": Service(2587, "StartTLS", ("selfsigned.archive.example",), issuer=None),
    "untrusted": Service(3587, "StartTLS", ("untrusted.archive.example",), issuer="otherCa"),
    "relay": Service(25, "StartTLS", ("relay.archive.example",), passwords=False),
}
IMAPS = 993
FIRST_PORT = {"standard": 0, "high": 10000}
MAILBOXES = {
    "acme-journal@journal.archive.example": "journal",
    "acme-vault@vault.archive.example": "vault",
    "selfsigned@selfsigned.archive.example": "selfsigned",
    "untrusted@untrusted.archive.example": "untrusted",
    "compliance@acme.example": "compliance",
}




def describe(directory: Path, address: str, first_port: int, netns: str | None, more_mailboxes: list[str]) -> dict:
    logins = {**MAILBOXES, **{mailbox: mailbox for mailbox in more_mailboxes}}
    mailboxes = [
        {"address": mailbox, "login": login, "password": secrets.token_urlsafe(18)}
        for mailbox, login in logins.items()
    ]
    return {
        "address": address,
        "netns": netns,
        "ca": str(directory / "certificates/ca.pem"),
        "otherCa": str(directory / "certificates/otherCa.pem"),
        "selfSigned": str(directory / "certificates/selfsigned.crt"),
        "services": {
            name: {"host": service.names[0], "port": first_port + service.port, "tls": service.tls}
            for name, service in SERVICES.items()
        },
        "imap": {"host": address, "port": first_port + IMAPS},
        "mailboxes": mailboxes,
        "submissionLogins": [{"username": box["login"], "password": box["password"]} for box in mailboxes],
    }


def write_directory(directory: Path, mail: dict) -> None:
    own = ("certificates", "sockets", "mailboxes", "dovecot", "postfix/config", "postfix/queue", "postfix/data")
    for folder in own:
        (directory / folder).mkdir(parents=True)
    shutil.chown(directory / "postfix/data", "postfix", "root")
    write_certificates(directory / "certificates", mail["address"])
    write_mailboxes(directory, mail["mailboxes"])
    domains = sorted({box["address"].partition("@")[2] for box in mail["mailboxes"]})
    values = {"ADDRESS": mail["address"], "DOMAINS": ", ".join(domains), "IMAPS": str(mail["imap"]["port"])}
    (directory / "postfix/config/main.cf").write_text(template("main.cf", values))
    (directory / "dovecot/dovecot.conf").write_text(template("dovecot.conf", values))
    write_ports(directory, mail, paused=set())
    write_private(directory / "mail.json", json.dumps(mail, indent=2) + "\n")


def write_certificates(folder: Path, address: str) -> None:
    certificates.authority(folder, "ca", "imarchive test CA")
    certificates.authority(folder, "otherCa", "imarchive other CA, not trusted")
    for name, service in SERVICES.items():
        certificates.server(folder, name, list(service.names), address, service.issuer)
    certificates.server(folder, "imaps", ["imap.archive.example"], address, "ca")


def write_mailboxes(directory: Path, mailboxes: list[dict]) -> None:
    """A mailbox is known to IMAP and SMTP by its login, and to LMTP by its address."""
    users = []
    for box in mailboxes:
        home = f"mailboxes/{box['address']}"
        (directory / home).mkdir(mode=0o700)
        shutil.chown(directory / home, "mail", "mail")
        for user in {box["login"], box["address"]}:
            users.append(f"{user}:{{PLAIN}}{box['password']}::::{SRV}/{home}::\n")
    write_private(directory / "dovecot/users", "".join(users))
    shutil.chown(directory / "dovecot/users", "dovecot", "dovecot")
    known = "".join(f"{box['address']} known\n" for box in mailboxes)
    (directory / "postfix/config/mailboxes").write_text(known)


def write_ports(directory: Path, mail: dict, paused: set[str]) -> None:
    """master.cf is what says which ports are open, so that is also where a paused service is remembered."""
    lines = [template("master.cf", {})]
    for name, service in SERVICES.items():
        if name in paused:
            lines.append(f"# paused {name}\n")
        else:
            lines.append(f"{mail['address']}:{mail['services'][name]['port']} inet n - n - - smtpd\n")
            lines += [f"  -o {option}\n" for option in options(name, service)]
    (directory / "postfix/config/master.cf").write_text("".join(lines))


def paused_services(directory: Path) -> set[str]:
    return set(re.findall(r"^# paused (\S+)$", (directory / "postfix/config/master.cf").read_text(), re.MULTILINE))


def options(name: str, service: Service) -> list[str]:
    found = [f"syslog_name={name}", f"smtpd_tls_chain_files={SRV}/certificates/{name}.pem"]
    if service.tls == "Implicit":
        found.append("smtpd_tls_wrappermode=yes")
    if service.passwords:
        found.append("smtpd_tls_security_level=encrypt")
        found.append("smtpd_sasl_auth_enable=yes")
        found.append("smtpd_client_restrictions=permit_sasl_authenticated,reject")
    return found


def template(name: str, values: dict[str, str]) -> str:
    text = (TEMPLATES / name).read_text()
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text


def write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text)
