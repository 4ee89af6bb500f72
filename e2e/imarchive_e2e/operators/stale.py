"""An API server that lags behind: a list or a watch tells once more what it told before, slowly, and then what is true.

What it tells is real: the list is remembered, and a watch is asked of the API server from an older version on.
"""

import json
import re
from dataclasses import dataclass

from yarl import URL

SELECTORS = ("fieldSelector", "labelSelector")
VERSION = re.compile(rb'"resourceVersion":"(\d+)"')  # the first in a line of a watch is the object's own
PAUSE = 0.1  # seconds that each old state is believed in
GONE = json.dumps(
    {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "too old resource version",
        "reason": "Expired",
        "code": 410,
    }
).encode()


@dataclass(frozen=True)
class Watch:
    """How a watch is answered."""

    refused: bytes | None = None  # with this, so that the collection is listed anew
    begin: str | None = None  # from this version on, instead of the one that is asked for
    old: int = 0  # what comes up to this version is old


class Stale:
    """Which collections lag behind, by the path and the selectors that they are asked for with."""

    def __init__(self) -> None:
        self.lists: dict[str, bytes] = {}  # the first answer
        self.versions: dict[str, str] = {}  # of the first answer
        self.latest: dict[str, int] = {}  # that was told
        self.refuse: set[str] = set()
        self.replay: set[str] = set()
        self.repeat: set[str] = set()

    # ---- what a story does, before it drops the watches or kills the operator ----

    def lists_lag(self) -> None:
        """Each watch is refused once, and the list that follows is the first that there was."""
        self.refuse, self.repeat = set(self.lists), set(self.lists)

    def watches_lag(self) -> None:
        """Each watch begins once more where the first one did."""
        self.replay = set(self.lists)

    # ---- what the proxy asks ----

    def list_instead(self, key: str) -> bytes | None:
        self.refuse.discard(key)
        if key not in self.repeat:
            return None
        self.repeat.discard(key)
        self.replay.add(key)
        return self.lists[key]

    def remember(self, key: str, body: bytes) -> None:
        content = json.loads(body)
        if not content.get("kind", "").endswith("List") or content["metadata"].get("continue"):
            return
        version = content["metadata"]["resourceVersion"]
        self.latest[key] = max(self.latest.get(key, 0), int(version))
        if key not in self.lists:
            self.lists[key], self.versions[key] = body, version

    def watch_instead(self, key: str) -> Watch:
        if key in self.refuse:
            self.refuse.discard(key)
            return Watch(refused=GONE)
        if key not in self.replay:
            return Watch()
        self.replay.discard(key)
        return Watch(begin=self.versions[key], old=self.latest[key])

    def pause_after(self, key: str, watch: Watch, line: bytes) -> float:
        """How long what the line says is all that is known."""
        found = VERSION.search(line)
        version = int(found[1]) if found else 0
        self.latest[key] = max(self.latest.get(key, 0), version)
        return PAUSE if version <= watch.old else 0


def key_of(url: URL) -> str:
    selectors = sorted(f"{name}={value}" for name, value in url.query.items() if name in SELECTORS)
    return "&".join([url.path, *selectors])
