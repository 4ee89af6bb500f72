"""A run that is killed at a call that writes: what was acknowledged is delivered, and again only what must be."""

from collections import Counter

from ..books import Sent
from . import workload
from .local import Local
from .run import Outcome, Place, audit, hand_in, message_id
from .sink import Sink

KILLED = 128 + 9


def killed_at(place: Place, number: int) -> Outcome:
    """The whole run, with SIGKILL at the Nth call."""
    outcome = Outcome(number)
    with place.local(number) as (local, sink):
        local.start("--kill", str(number))
        try:
            play(local, sink, outcome)
        except Exception as failure:  # noqa: BLE001  # told with its number; the other runs go on
            outcome.say(repr(failure))
    if not outcome.problems:
        place.forget(number)
    return outcome


def play(local: Local, sink: Sink, outcome: Outcome) -> None:
    sent = Sent()
    outcome.acknowledged = len([*hand_in(local, workload.requests(), sent)])
    books = local.drained()
    if local.stop() != 0:
        local.bury()
        local.start()
        books = local.drained()
        local.stop()
    last = local.bury()
    outcome.codes = [end.code for end in local.ends]
    outcome.reached = outcome.codes[0] == KILLED
    if outcome.codes not in ([KILLED, 0], [0]):
        outcome.say(f"ended with {outcome.codes}")
    if last.check.code != 0:
        outcome.say(f"fsck at the end: {last.check}")
    if outcome.reached:
        look_at_death(local, sink, outcome)
    else:
        audit(sent, sink.taken, outcome, Counter())
    if not books["acknowledged"] == len(sent) == books["delivered"] + books["excluded"]:
        outcome.say(f"{len(sent)} messages, and the books {books}")
    if outcome.reached:
        audit(sent, sink.taken, outcome, owed(local, sink))


def look_at_death(local: Local, sink: Sink, outcome: Outcome) -> None:
    """What the killed process left. Before its first answer there need be no spool yet."""
    death = local.ends[0]
    if death.check.code == 2 and not [one for one in sink.taken if one.at < death.at]:
        return
    if death.check.code != 0:
        outcome.say(f"fsck after the kill: {death.check}")


def owed(local: Local, sink: Sink) -> Counter[str]:
    """What the archive had taken when the process died, and the spool did not know of."""
    death = local.ends[0]
    before = {message_id(one) for one in sink.taken if one.at < death.at}
    return Counter(before - death.delivered)
