"""Runs the parts, prints what was found, and keeps it."""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

from ..node import Failed
from ..show import block
from .parts import PARTS, Bench
from .results import Figure, figures, keep, write
from .tool import bench

CHECKOUT = Path(__file__).resolve().parents[3]


def machine(folder: Path) -> str:
    """What it ran on."""
    fields = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    cpu = next((value.strip() for name, _, value in fields if name.strip() == "model name"), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    words = ["findmnt", "-no", "FSTYPE", "--target", str(folder)]
    disk = "".join(subprocess.run(words, capture_output=True, text=True, check=False).stdout.split())
    sync = bench("log", file=folder / "log", group=1, groups=500)["median"] * 1e6
    load, kernel = os.getloadavg()[0], ".".join(platform.release().split(".")[:2])
    return (
        f"{cpu}, {os.cpu_count()} processors, {memory:.0f} GiB, Linux {kernel}, {disk}; "
        f"a write of 1 KiB with fdatasync takes {sync:.0f} µs; load before the run {load:.1f}."
    )


def from_root(page: str) -> Path:
    return CHECKOUT / page


def main() -> None:
    parser = argparse.ArgumentParser(prog="e2e/bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"one of {', '.join(PARTS)}; all without")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="only to see whether it works; keeps nothing")
    parser.add_argument("--folder", type=Path, default=Path("/var/tmp"), help="on the disk that is to be measured")
    parser.add_argument("--write", type=from_root, metavar="PAGE", help="put the figures between the marks of this page")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")

    folder = Path(tempfile.mkdtemp(prefix="imarchive-bench-", dir=options.folder))
    folder.chmod(0o755)  # Postfix's own user goes through it
    run, found = Bench(folder, options.rounds, options.small), list[Figure]()
    try:
        text = f"{date.today()}, {options.rounds} rounds. {machine(folder)}\n\n"
        for part in options.parts or PARTS:
            found += PARTS[part](run)
            if not options.small:  # part by part: what was found is not lost with what comes
                keep(found, CHECKOUT / "target/bench.json")
    finally:
        shutil.rmtree(folder)
    for title, settings in run.settings.items():
        block(title, settings)
    text += figures(found)
    for title, more in run.tables.items():
        text += f"\n{title}:\n\n{more}"
    print(f"\n{text}")
    if options.write and not options.small:
        write(text, options.write)


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"bench: {failure}")
