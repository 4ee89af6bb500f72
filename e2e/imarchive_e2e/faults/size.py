"""How much of a proof is played: a sample that CI has the time for, or, by e2e/faults, all of it."""

import os
import random
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from ..operators.size import FULL

WORKERS = int(os.environ.get("IMARCHIVE_FAULTS_WORKERS") or 6)  # a run mostly waits: for its windows, and for the disk
T, R = TypeVar("T"), TypeVar("R")


def some(all_of_them: Iterable[T], number: int) -> list[T]:
    """All, or so many that are spread evenly: one of each stretch, another one in each run."""
    found = list(all_of_them)
    if FULL or len(found) <= number:
        return found
    edges = [len(found) * at // number for at in range(number + 1)]
    return [found[random.randrange(first, last)] for first, last in zip(edges, edges[1:])]


def at_once(play: Callable[..., R], *arguments: Iterable) -> list[R]:
    """What `play` returns for each set of arguments, in processes of their own."""
    with ProcessPoolExecutor(WORKERS) as pool:
        return list(pool.map(play, *arguments))
