"""Somebody who changes objects of an organization all the time, so that its operator always has something to write."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

from .. import admin, objects

ASSIGNMENTS = ("first", "second", "third")
PAUSE = 0.3  # seconds
API = f"/apis/{objects.API}"


def things() -> list[dict]:
    """What is changed; nothing of it needs a pod for long."""
    return [objects.archiver(paused=True), *(objects.assignment(name, "journal", [user(0)]) for name in ASSIGNMENTS)]


@contextmanager
def unrest(namespace: str) -> Iterator[None]:
    ended = threading.Event()
    thread = threading.Thread(target=change_all_the_time, args=(namespace, ended))
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def change_all_the_time(namespace: str, ended: threading.Event) -> None:
    for number in count(1):
        if ended.wait(PAUSE):
            return
        change(namespace, number)


def change(namespace: str, number: int) -> None:
    """Of each assignment the status, and of the Archiver its Service, must follow."""
    for name in ASSIGNMENTS:
        # Of another length each time, so that the count of users is another one.
        users = [f"{name}-{user(one)}" for one in range(1 + number % 7)]
        admin.merge(admin.path(f"{API}/userassignments", namespace, name), {"spec": {"users": users}})
    annotations = {"story.example/number": str(number)}
    change = {"spec": {"ingest": {"service": {"annotations": annotations}}}}
    admin.merge(admin.path(f"{API}/archivers", namespace, "archiver"), change)


def user(number: int) -> str:
    return f"user{number}@{objects.DOMAIN}"
