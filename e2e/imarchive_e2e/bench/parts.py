"""The parts of the benchmark, each in rounds that alternate between the archiver and its peer."""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from ..node import Failed, eventually
from ..show import step
from .organization import Archiver, archiver
from .postfix import Postfix, postfix
from .results import Figure, shown, table
from .tool import Server, bench

MESSAGE = 1024  # bytes
MILLION = 1_000_000
MAILS = 400  # of 50 messages, in each round of relaying
SINGLES = 4000  # of one message
CONNECTIONS = 20  # to the archive, on either side: Postfix's default
LONG = 600.0  # seconds


@dataclass
class Bench:
    """Where and how often."""

    folder: Path  # on the disk that is measured
    rounds: int
    small: bool = False  # so small that the figures mean nothing, to see whether it works
    settings: dict[str, str] = field(default_factory=dict)  # of the peers
    tables: dict[str, str] = field(default_factory=dict)  # beside the figures
    _made: dict[str, Path] = field(default_factory=dict)

    def size(self, number: int) -> int:
        return max(number // 100, 64) if self.small else number

    def path(self, name: str) -> Path:
        path = self.folder / name
        shutil.rmtree(path, ignore_errors=True)
        return path

    def spool(self, messages: int, each: int = 50) -> Path:
        """A spool in which so many messages wait; made once, and not to be changed but by those who say so."""
        key = f"spool-{messages}-{each}"
        if key not in self._made:
            with step(f"a spool with {messages:,} messages"):
                self._made[key] = self.path(key)
                bench("fill", spool=self._made[key] / "spool", conversations=messages // each, messages=each)
        return self._made[key]

    def each_round(self, what: str) -> Iterator[int]:
        with step(what) as shown_step:
            for number in range(self.rounds):
                shown_step.say(f"{what}, round {number + 1} of {self.rounds}")
                yield number
            shown_step.done(what)


def acknowledgements(run: Bench) -> list[Figure]:
    """(a) Durable acknowledgements, and their latency."""
    sizes = {100: 200_000, 10: 60_000, 1: 12_000}
    figures = {
        batch: Figure(
            f"acknowledged-{batch}",
            f"acknowledged over HTTPS, {batch} a request",
            "mails accepted by Postfix",
            "messages/s",
            least=80 if batch == 100 else None,
        )
        for batch in sizes
    }
    latency = Figure("latency", "a request with one message, alone", "one write and fdatasync", "ms", most=1.5)
    with postfix(run.path("postfix")) as peer:
        run.settings["Postfix, accepting"] = peer.settings()
        for _ in run.each_round("durable acknowledgements"):
            accepted = peer.accept(run.size(10_000), MESSAGE)
            written = bench("log", file=run.folder / "log", group=1, groups=run.size(2000))
            with archiver(run.path("archiver")) as ours:
                ours.start()
                for batch, messages in sizes.items():
                    connections = min(32, run.size(messages) // batch)
                    found = ours.load(connections=connections, batch=batch, messages=run.size(messages))
                    figures[batch].add(found["rate"], accepted)
                alone = ours.load(connections=1, messages=run.size(2000))
                latency.add(alone["median"] * 1e3, written["median"] * 1e3)
    return [*figures.values(), latency]


def relaying(run: Bench) -> list[Figure]:
    """(b) From acknowledged to delivered."""
    mails, singles = run.size(MAILS), run.size(SINGLES)
    same = "Postfix, the same mails"
    whole = Figure("delivered-messages", "from acknowledged to delivered", same, "messages/s", least=25)
    by_mail = Figure("delivered-mails", "the same, in mails of 50 messages", same, "mails/s", least=2)
    by_bytes = Figure("delivered-bytes", "the same, in bytes", same, "MB/s")
    single = Figure(
        "delivered-singly", "the same, against a mail for each message", "Postfix, mails of 1 KiB", "messages/s"
    )
    spool, saved, roots = run.spool(mails * 50), run.folder / "mails", run.folder / "ca.crt"
    with Server("sink", ca=roots, save=saved) as sink:
        deliver(run, spool, sink, roots, mails)
    rendered = mails_in(saved)
    with Server("sink", ca=roots) as sink, postfix(run.path("postfix"), sink.port, roots, CONNECTIONS) as peer:
        run.settings["Postfix, relaying"] = peer.settings()
        for _ in run.each_round("from acknowledged to delivered"):
            ours = deliver(run, spool, sink, roots, mails)
            theirs = relay(peer, sink, rendered)
            alone = relay(peer, sink, [b"Subject: one\r\n\r\n" + b"x" * 76 * 12 + b"\r\n"] * singles)
            messages = mails * 50
            by_mail.add(mails / ours["seconds"], mails / theirs["seconds"])
            whole.add(messages / ours["seconds"], mails / theirs["seconds"])
            by_bytes.add(ours["bytes"] / ours["seconds"] / 1e6, theirs["bytes"] / theirs["seconds"] / 1e6)
            single.add(messages / ours["seconds"], singles / alone["seconds"])
    return [whole, by_mail, by_bytes, single]


def deliver(
    run: Bench,
    spool: Path,
    sink: Server,
    roots: Path,
    mails: int,
    *,
    connections: int = CONNECTIONS,
    port: int | None = None,
) -> dict:
    """Starts an archiver on a copy of the spool, whose windows have all ended, and waits until all is delivered."""
    home = run.path("archiver")
    home.mkdir()
    subprocess.run(["cp", "-a", "--reflink=auto", spool / "spool", home], check=True)
    # What the copy left to be written must not be written while the clock runs.
    subprocess.run(["sync", "-f", home], check=True)
    with archiver(home) as ours:
        ours.declare(port=port or sink.port, window="1s", connections=connections)
        sink.ask("reset")
        ours.start(roots)
        eventually(lambda: sink.ask()["distinct"] >= mails, LONG, "all mails arrive", pause=0.1)
        eventually(lambda: ours.books()["waiting"] == 0, 30, "the books know it", pause=0.1)
        found = sink.ask()
    if found["mails"] != mails:
        raise Failed(f"{found['mails']} mails came instead of {mails}")
    return found


def relay(peer: Postfix, sink: Server, mails: list[bytes]) -> dict:
    """Lets Postfix deliver these mails, which it had before."""
    peer.fill(mails)
    sink.ask("reset")
    peer.release()
    eventually(lambda: sink.ask()["mails"] >= len(mails), LONG, "Postfix relays all mails", pause=0.1)
    return sink.ask()


def mails_in(saved: Path) -> list[bytes]:
    """What a sink wrote."""
    content, mails = saved.read_bytes(), []
    while content:
        length, _, rest = content.partition(b"\n")
        mails.append(rest[: int(length)])
        content = rest[int(length) :]
    return mails


def appending(run: Bench) -> list[Figure]:
    """(c) The spool itself, against a plain file."""
    log = "a plain file"
    empty = Figure("append-0", "append in groups of 256, empty spool", log, "messages/s", least=0.25)
    full = Figure("append-1000000", "append in groups of 256, after 10^6 rows", log, "messages/s", least=0.25)
    aged = Figure("append-aged", "after 10^6 rows against empty", "empty", "messages/s", least=0.8)
    million = run.spool(run.size(MILLION))
    groups = run.size(400)  # more than what makes the ledger merge its index
    for _ in run.each_round("appending to the spool"):
        written = bench("log", file=run.folder / "log", groups=groups)["rate"]
        first = bench("append", spool=run.path("fresh"), groups=groups)["rate"]
        last = bench("append", spool=million / "spool", groups=groups)["rate"]
        empty.add(first, written)
        full.add(last, written)
        aged.add(last, first)
    return [empty, full, aged]


def pipelining(run: Bench) -> list[Figure]:
    """(d) One connection to an archive that is 20 ms away."""
    figure = Figure("pipelining", "mails on one connection, 20 ms away", "without pipelining", "mails/s", least=3)
    mails = run.size(200)  # of one message
    spool, roots, plain_roots = run.spool(mails, each=1), run.folder / "ca.crt", run.folder / "plain.crt"
    with Server("sink", ca=roots) as sink, Server("sink", ca=plain_roots, offer="SIZE 104857600") as plain:
        with proxy(sink) as far, proxy(plain) as far_plain:
            for _ in run.each_round("pipelining"):
                found = deliver(run, spool, sink, roots, mails, connections=1, port=far.port)
                slow = deliver(run, spool, plain, plain_roots, mails, connections=1, port=far_plain.port)
                figure.add(mails / found["seconds"], mails / slow["seconds"])
    return [figure]


def proxy(sink: Server) -> Server:
    return Server("proxy", to=f"127.0.0.1:{sink.port}", milliseconds=20)


def starting(run: Bench) -> list[Figure]:
    """(e) The start after kill -9, with messages waiting in open windows."""
    few = "with 10^4"
    seconds = Figure("start-seconds", "start after kill -9 with 10^6 waiting", few, "s", below=1)
    memory = Figure("start-memory", "memory after that start, resident", few, "MiB", below=64)
    found: dict[int, list[tuple[float, float, float]]] = {}
    sizes = [run.size(10_000), run.size(100_000), run.size(MILLION)]
    for _ in run.each_round("starting"):
        for size in sizes:
            ours = Archiver(run.spool(size))
            try:
                ours.start()
                # So that there is something that was not yet tidied away.
                ours.load(batch=100, messages=3200)
                ours.kill()
                took = ours.start()
                found.setdefault(size, []).append((took, *ours.memory()))
            finally:
                ours.kill()
    for last, first in zip(found[sizes[-1]], found[sizes[0]], strict=True):
        seconds.add(last[0], first[0])
        memory.add(last[1], first[1])
    medians = {size: [median(column) for column in zip(*rounds, strict=True)] for size, rounds in found.items()}
    rows = [[f"{size:,}", *map(shown, row)] for size, row in medians.items()]
    headings = ["waiting", "seconds until it takes a message", "MiB resident", "MiB proportional"]
    run.tables["Start after kill -9"] = table(headings, rows)
    return [seconds, memory]


def windows(run: Bench) -> list[Figure]:
    """(f) Many open conversations."""
    number = run.size(100_000)
    memory = Figure("windows-memory", "memory of one of 10^5 open conversations, in a running archiver", "", "bytes")
    own = Figure("windows-index", "of it the index of windows", "", "bytes")
    tick = Figure("windows-tick", "a look at 10^5 open windows of which none ended", "", "µs")
    idle = Figure("windows-idle", "processor of an archiver that is left alone with them", "", "ms/s")
    spool = run.spool(number, each=1)
    for _ in run.each_round("open conversations"):
        found = bench("windows", conversations=number)
        own.add(found["bytes"])
        tick.add(found["tick"] * 1e6)
        with archiver(run.path("empty")) as none:
            none.start()
            before = none.memory()[1]
        ours = Archiver(spool)
        try:
            ours.start()
            memory.add((ours.memory()[1] - before) * (1 << 20) / number)
            spent, begun = ours.processor(), time.monotonic()
            time.sleep(3)
            idle.add((ours.processor() - spent) * 1000 / (time.monotonic() - begun))
        finally:
            ours.kill()
    return [memory, own, tick, idle]


PARTS: dict[str, Callable[[Bench], list[Figure]]] = {
    "acknowledgements": acknowledgements,
    "relaying": relaying,
    "append": appending,
    "pipelining": pipelining,
    "start": starting,
    "windows": windows,
}
