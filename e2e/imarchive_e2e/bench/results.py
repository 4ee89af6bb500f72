"""What was measured: as JSON for programs and as a table for people."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"


@dataclass
class Figure:
    """One comparison: what each round found on our side and on the peer's, and what is aimed at."""

    name: str  # in the JSON
    what: str  # in the table
    peer_is: str
    unit: str
    least: float | None = None  # the ratio is to be at least this
    most: float | None = None  # or at most this
    below: float | None = None  # or our own figure is to be less than this
    ours: list[float] = field(default_factory=list)
    peer: list[float] = field(default_factory=list)

    def add(self, ours: float | None = None, peer: float | None = None) -> None:
        self.ours += [] if ours is None else [ours]
        self.peer += [] if peer is None else [peer]

    def ratio(self) -> float | None:
        return median(self.ours) / median(self.peer) if self.ours and self.peer else None

    def noise(self) -> str:
        """How far the rounds of the peer were apart, or ours where there is none."""
        rounds = self.peer or self.ours
        return f"{(max(rounds) - min(rounds)) / median(rounds):.0%}" if len(rounds) > 1 else "-"

    def aim(self) -> str:
        if self.least is not None:
            return f"at least {self.least:g}"
        if self.most is not None:
            return f"at most {self.most:g}"
        return f"below {self.below:g} {self.unit}" if self.below is not None else "-"

    def verdict(self) -> str:
        ratio = self.ratio()
        if self.below is not None:
            return "met" if median(self.ours) < self.below else "**missed**"
        if self.least is None and self.most is None or ratio is None:
            return "-"
        met = ratio >= self.least if self.least is not None else ratio <= (self.most or 0)
        return "met" if met else "**missed**"

    def columns(self) -> list[str]:
        ratio = self.ratio()
        peer = f"{shown(median(self.peer))} ({self.peer_is})" if self.peer else "-"
        ours, times = f"{shown(median(self.ours))} {self.unit}", "-" if ratio is None else f"{shown(ratio)} ×"
        return [self.what, ours, peer, times, self.aim(), self.verdict(), self.noise()]

    def row(self) -> dict:
        return {"name": self.name, "unit": self.unit, "ours": self.ours, "peer": self.peer, "ratio": self.ratio()}


HEADINGS = ["what", "ours", "peer", "ratio", "aim", "", "noise"]


def shown(number: float) -> str:
    """Three digits that count, and thousands set apart."""
    if abs(number) >= 100:
        return f"{number:,.0f}"
    return f"{number:.3g}"


def table(headings: list[str], rows: list[list[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def figures(all_of_them: list[Figure]) -> str:
    return table(HEADINGS, [figure.columns() for figure in all_of_them])


def keep(all_of_them: list[Figure], file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    rows = [json.dumps(figure.row()) for figure in all_of_them]
    file.write_text("[\n  " + ",\n  ".join(rows) + "\n]\n")


def write(text: str, page: Path) -> None:
    """Puts the figures between the marks of a page."""
    before, rest = page.read_text().split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n\n{text.strip()}\n\n{END}{after}")
