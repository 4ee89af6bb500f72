"""The archives: the real mail servers of e2e/mail, in the node's network, shared by the demo and all stories."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from .node import ADDRESS, CACHE, E2E, NETWORK, run

DIRECTORY = CACHE / "mail"


def reader() -> ModuleType:
    """e2e/mailbox.py, by its path: the standard library has a module of the same name."""
    specification = importlib.util.spec_from_file_location("imarchive_mailbox", E2E / "mailbox.py")
    module = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = module
    specification.loader.exec_module(module)
    return module


mailbox = reader()


def command(verb: str, *arguments: str) -> str:
    return run(E2E / "mail", verb, DIRECTORY, *arguments)


def up() -> bool:
    """Starts the servers unless they run; returns whether it did. They outlive the caller."""
    if subprocess.run([E2E / "mail", "status", DIRECTORY], capture_output=True).returncode == 0:
        return False
    if (DIRECTORY / "mail.json").exists():  # of a node that is gone, or of a crash
        command("down")
    command("up", "--netns", NETWORK, "--address", ADDRESS, "--ports", "standard")
    return True


def mail() -> dict:
    return mailbox.load(DIRECTORY)


def authority() -> Path:
    return Path(mail()["ca"])


def account(login: str) -> dict:
    """address, login and password"""
    return mailbox.account(mail(), login)


def add(address: str) -> None:
    """An empty mailbox of one's own; its address is its login, too."""
    command("add", address)
    empty(address)


def read(login: str) -> Iterator["mailbox.Mail"]:
    return mailbox.each_mail(mail(), login)


def count(login: str) -> int:
    return mailbox.count(mail(), login)


def empty(login: str) -> None:
    mailbox.empty(mail(), login)
