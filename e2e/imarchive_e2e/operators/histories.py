"""The scenario, once undisturbed, and then with whatever may happen: the end is the same, and then nothing happens."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from .disturbances import Disturbance
from ..node import Failed
from .process import Kit, Operator
from .scenario import Scenario, is_done
from .snapshot import difference

PATIENCE = 120  # seconds until a disturbed operator has done all
STILL = 3.0  # seconds without a call after which it has come to rest
PAUSE = 0.5


@dataclass
class History:
    """What became of one run."""

    name: str
    disturbance: Disturbance
    states: list[dict] = field(default_factory=list)  # the end of each step
    failure: str = ""
    titles: list[str] = field(default_factory=list)  # of the calls
    at_rest: list[str] = field(default_factory=list)  # calls although nothing was to be done
    ends: list[int] = field(default_factory=list)  # of the operator's lives
    seconds: float = 0
    account: str = ""

    @property
    def happened(self) -> bool:
        return self.disturbance.happened

    @property
    def problem(self) -> str:
        """Nothing, when it is as it should be."""
        if self.failure:
            return self.failure
        if self.at_rest:
            return "calls although nothing was to be done:\n" + "\n".join(self.at_rest)
        if not self.happened:
            return "what was to happen to the operator did not happen"
        if unexplained := [code for code in self.ends if code not in self.disturbance.ends]:
            return f"the operator ended by itself, with {unexplained}"
        return ""


class Run:
    """One history under way. Without a run to compare it with it is that run."""

    def __init__(self, kit: Kit, name: str, disturbance: Disturbance, undisturbed: History | None, rest: float):
        self.kit, self.disturbance, self.undisturbed, self.rest = kit, disturbance, undisturbed, rest
        self.scenario = Scenario(f"story-fault-{name}")
        self.history = History(name, disturbance)
        self.last: dict = {}

    def play(self) -> History:
        begun = time.monotonic()
        try:
            self.scenario.prepare()
            with Operator(self.kit, self.scenario.namespace, self.history.name) as operator:
                self.operator = operator
                operator.proxy.choose = lambda call: self.disturbance.fault(operator, call)
                try:
                    self.step(self.scenario.begin)
                    self.step(self.scenario.change)
                    self.stay_at_rest()
                finally:
                    self.history.ends = list(operator.ends)
                    self.history.titles = [call.title for call in operator.proxy.changes()]
                    self.history.account = operator.account()
        except Failed as failure:
            self.history.failure = str(failure)
        finally:
            self.scenario.end()
        self.history.seconds = time.monotonic() - begun
        return self.history

    def step(self, step: Callable[[], None]) -> None:
        step()
        settled = threading.Event()
        attending = threading.Thread(target=self.disturbance.attend, args=(self.operator, settled))
        attending.start()
        try:
            self.settle()
        finally:
            settled.set()
            attending.join()
        # What the last disturbance caused is still to be done.
        self.settle()
        self.history.states.append(self.last)

    def settle(self) -> None:
        """Waits until all is done and no call is made any more."""
        deadline = time.monotonic() + PATIENCE
        while not (self.is_done() and self.operator.idle_for() >= STILL):
            if time.monotonic() > deadline:
                raise Failed(self.what_is_left())
            time.sleep(PAUSE)

    def is_done(self) -> bool:
        try:
            before, self.last = self.last, self.scenario.state()
        except (OSError, Failed):  # the API server is away, or just comes back
            return False
        number = len(self.history.states)
        if self.undisturbed is None:
            return self.last == before and is_done(self.last, number)
        return self.last == self.undisturbed.states[number]

    def what_is_left(self) -> str:
        number = len(self.history.states)
        if self.undisturbed is None:
            return f"step {number} was not done within {PATIENCE} s"
        left = difference(self.undisturbed.states[number], self.last)
        return f"{left or 'the operator does not come to rest'}\nafter {PATIENCE} s of step {number}"

    def stay_at_rest(self) -> None:
        before = len(self.operator.proxy.calls)
        time.sleep(self.rest)
        self.history.at_rest = [call.title for call in self.operator.proxy.changes(before)]
        now = self.scenario.state()
        kept = {**now, "jobs": self.last["jobs"]}  # the cluster deletes them some minutes after their end
        if moved := difference(self.last, kept):
            raise Failed(f"although nothing was to be done, this changed:\n{moved}")


def play_all(
    kit: Kit, disturbances: dict[str, Disturbance], undisturbed: History, rest: float, at_once: int
) -> dict[str, History]:
    with ThreadPoolExecutor(at_once) as pool:
        runs = {
            name: pool.submit(Run(kit, name, disturbance, undisturbed, rest).play)
            for name, disturbance in disturbances.items()
        }
    return {name: run.result() for name, run in runs.items()}
