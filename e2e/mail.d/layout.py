"""What DIR holds: the ports and mailboxes, their certificates and passwords, and the configuration of both servers."""

import json
import re
import secrets
import shutil
from pathlib import Path

import certificates
from services import SERVICES, SRV, options

TEMPLATES = Path(__file__).resolve().parent
IMAP, IMAPS = 143, 993
FIRST_PORT = {"standard": 0, "high": 10000}
MAILBOXES = {
    "acme-journal@journal.archive.example": "journal",
    "acme-vault@vault.archive.example": "vault",
    "selfsigned@selfsigned.archive.example": "selfsigned",
    "untrusted@untrusted.archive.example": "untrusted",
    "compliance@acme.example": "compliance",
    "imarchive@relay.archive.example": "imarchive",
}


def describe(directory: Path, address: str, first_port: int, netns: str | None, more_mailboxes: list[str]) -> dict:
    mailboxes = [new_mailbox(address, login) for address, login in MAILBOXES.items()]
    mailboxes += [new_mailbox(address, address) for address in more_mailboxes if address not in MAILBOXES]
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
        "submissionLogins": submission_logins(mailboxes),
    }


def new_mailbox(address: str, login: str) -> dict:
    return {"address": address, "login": login, "password": secrets.token_urlsafe(18)}


def submission_logins(mailboxes: list[dict]) -> list[dict]:
    return [{"username": box["login"], "password": box["password"]} for box in mailboxes]


def add_mailboxes(directory: Path, mail: dict, addresses: list[str]) -> None:
    """What is there already stays as it is. Dovecot reads its users anew by itself, Postfix when it is told to."""
    known = {box["address"] for box in mail["mailboxes"]}
    mail["mailboxes"] += [new_mailbox(address, address) for address in addresses if address not in known]
    mail["submissionLogins"] = submission_logins(mail["mailboxes"])
    write_mailboxes(directory, mail)
    write_private(directory / "mail.json", json.dumps(mail, indent=2) + "\n")


def write_directory(directory: Path, mail: dict) -> None:
    own = ("certificates", "sockets", "mailboxes", "dovecot", "postfix/config", "postfix/queue", "postfix/data")
    for folder in own:
        (directory / folder).mkdir(parents=True)
    shutil.chown(directory / "postfix/data", "postfix", "root")
    write_certificates(directory / "certificates", mail["address"])
    write_mailboxes(directory, mail)
    (directory / "postfix/config/senders").write_text(template("senders", {}))
    imaps = mail["imap"]["port"]
    values = {"ADDRESS": mail["address"], "IMAP": str(imaps - IMAPS + IMAP), "IMAPS": str(imaps)}
    (directory / "dovecot/dovecot.conf").write_text(template("dovecot.conf", values))
    write_ports(directory, mail, paused=set())
    write_private(directory / "mail.json", json.dumps(mail, indent=2) + "\n")


def write_certificates(folder: Path, address: str) -> None:
    certificates.authority(folder, "ca", "imarchive test CA")
    certificates.authority(folder, "otherCa", "imarchive other CA, not trusted")
    for name, service in SERVICES.items():
        certificates.server(folder, name, list(service.names), address, service.issuer, service.expired)
    certificates.server(folder, "imaps", ["imap.archive.example"], address, "ca")


def write_mailboxes(directory: Path, mail: dict) -> None:
    """A mailbox is known to IMAP and SMTP by its login, and to LMTP by its address."""
    users = []
    for box in mail["mailboxes"]:
        home = directory / "mailboxes" / box["address"]
        if not home.exists():
            home.mkdir(mode=0o700)
            shutil.chown(home, "mail", "mail")
        for user in sorted({box["login"], box["address"]}):
            users.append(f"{user}:{{PLAIN}}{box['password']}::::{SRV}/mailboxes/{box['address']}::\n")
    write_private(directory / "dovecot/users", "".join(users), owner="dovecot")
    known = "".join(f"{box['address']} known\n" for box in mail["mailboxes"])
    replace(directory / "postfix/config/mailboxes", known)
    domains = sorted({box["address"].partition("@")[2] for box in mail["mailboxes"]})
    values = {"ADDRESS": mail["address"], "DOMAINS": ", ".join(domains)}
    replace(directory / "postfix/config/main.cf", template("main.cf", values))


def write_ports(directory: Path, mail: dict, paused: set[str]) -> None:
    """master.cf is what says which ports are open, so that is also where a paused service is remembered."""
    lines = [template("master.cf", {})]
    for name, service in SERVICES.items():
        if name in paused:
            lines.append(f"# paused {name}\n")
        else:
            lines.append(f"{mail['address']}:{mail['services'][name]['port']} inet n - n - - smtpd\n")
            lines += [f"  -o {{ {option} }}\n" for option in options(name, service)]
    (directory / "postfix/config/master.cf").write_text("".join(lines))


def paused_services(directory: Path) -> set[str]:
    return set(re.findall(r"^# paused (\S+)$", (directory / "postfix/config/master.cf").read_text(), re.MULTILINE))


def template(name: str, values: dict[str, str]) -> str:
    text = (TEMPLATES / name).read_text()
    for key, value in values.items():
        text = text.replace(f"@{key}@", value)
    return text


def write_private(path: Path, text: str, owner: str = "root") -> None:
    replace(path, text, 0o600, owner)


def replace(path: Path, text: str, mode: int = 0o644, owner: str = "root") -> None:
    """In one step: a running server may be reading it."""
    written = path.with_name(f"{path.name}.new")
    written.unlink(missing_ok=True)
    written.touch(mode)
    written.write_text(text)
    shutil.chown(written, owner)
    written.replace(path)
