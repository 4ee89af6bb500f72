"""What happens to an operator while it works."""

import signal
import threading
from collections.abc import Callable

from . import faults
from .proxy import Fault
from .calls import Call
from ..node import E2E, run
from .process import Operator

DROPS = 3  # the operator waits longer each time before it watches again
BETWEEN = 1.5  # seconds
LATE = 7.0  # seconds: the operator has given up waiting for the answer, and has tried again


class Disturbance:
    """Nothing happens."""

    ends: tuple[int, ...] = ()  # with what the operator's process may end; signals are negative

    @property
    def happened(self) -> bool:
        return True

    def fault(self, operator: Operator, call: Call) -> Fault | None:
        """What happens to the call. In the proxy's thread."""

    def attend(self, operator: Operator, settled: threading.Event) -> None:
        """Runs beside each step of the scenario, until all is done or this returns."""


class ToCalls(Disturbance):
    """The same happens to each distinct call, the first time that it is made; or only to those that are chosen."""

    def __init__(self, chosen: Callable[[Call], bool] = lambda _: True) -> None:
        self.chosen = chosen
        self.met: set[str] = set()

    @property
    def happened(self) -> bool:
        return bool(self.met)

    def fault(self, operator: Operator, call: Call) -> Fault | None:
        if call.title in self.met or not self.chosen(call):
            return None
        self.met.add(call.title)
        return self.each(operator)

    def each(self, operator: Operator) -> Fault:
        raise NotImplementedError


class Killed(ToCalls):
    """The operator is killed when the API server has done what it asked for, before it hears of it."""

    ends = (-signal.SIGKILL,)

    def fault(self, operator: Operator, call: Call) -> Fault | None:
        # What an operator that was killed left on the wire is not the last call of a life.
        return super().fault(operator, call) if call.life == operator.proxy.life else None

    def each(self, operator: Operator) -> Fault:
        return faults.killed(operator.kill)


class KilledAt(Killed):
    """The operator is killed once, at the call of this number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.left = number

    def fault(self, operator: Operator, call: Call) -> Fault | None:
        if call.is_of_lease:
            return None
        self.left -= 1
        if self.met or self.left > 0:
            return None
        return super().fault(operator, call)


class Refused(ToCalls):
    """The API server answers with this code; `although_done`: after it did what was asked for."""

    def __init__(self, code: int, although_done: bool = False, chosen: Callable[[Call], bool] = lambda _: True):
        super().__init__(chosen)
        self.code, self.although_done = code, although_done

    def each(self, operator: Operator) -> Fault:
        return faults.refused(self.code, self.although_done)


class Late(ToCalls):
    """The call reaches the API server when the operator waits for it no more."""

    def each(self, operator: Operator) -> Fault:
        return faults.late(LATE)


class Repeatedly(Disturbance):
    """Something happens again and again, beside what the operator does."""

    def __init__(self, *what: Callable[[Operator], None]) -> None:
        self.what = what
        self.times = 0

    @property
    def happened(self) -> bool:
        return self.times > 0

    def attend(self, operator: Operator, settled: threading.Event) -> None:
        for happen in self.what:
            if settled.wait(BETWEEN):
                return
            happen(operator)
            self.times += 1


class Restarts(Repeatedly):
    """The operator's process may end meanwhile."""

    # Killed; or by itself, when the API server was away for so long that it could not renew its Lease.
    ends = (-signal.SIGKILL, 1)


class ApiServerRestarted(Restarts):
    """The API server is away for some seconds, for everybody; in the first step only, in which most is done."""

    def __init__(self) -> None:
        super().__init__(lambda _: run(E2E / "cluster", "restart-api-server"))

    def attend(self, operator: Operator, settled: threading.Event) -> None:
        if not self.happened:
            super().attend(operator, settled)


def watches_dropped() -> Disturbance:
    """All watches break off, again and again."""
    return Repeatedly(*[lambda operator: operator.proxy.drop_watches()] * DROPS)


def told_the_past() -> Disturbance:
    """All watches break off; what follows is what was told long ago, before it is what is true."""

    def watches(operator: Operator) -> None:
        operator.proxy.stale.watches_lag()
        operator.proxy.drop_watches()

    def lists(operator: Operator) -> None:
        operator.proxy.stale.lists_lag()
        operator.proxy.drop_watches()

    return Repeatedly(watches, lists)


def restarted_in_the_past() -> Disturbance:
    """The operator is killed, and the next is told first what its predecessor was told first."""

    def kill(operator: Operator) -> None:
        operator.proxy.stale.lists_lag()
        operator.kill()

    return Restarts(kill, kill)

