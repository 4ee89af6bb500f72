"""What may happen to a call on its way to the API server, or to the answer on its way back."""

import asyncio
import json
from collections.abc import Callable

from .proxy import Answer, Fault, HandOn
from .calls import Call

REASONS = {409: "Conflict", 429: "TooManyRequests", 500: "InternalError"}
RETRY_AFTER = 1  # seconds


def refused(code: int, handed_on: bool = False) -> Fault:
    """The API server says no; with `handed_on`, although it did what was asked for."""

    async def fault(call: Call, hand_on: HandOn) -> Answer:
        if handed_on:
            await hand_on()
        return refusal(code, call)

    return fault


def refusal(code: int, call: Call) -> Answer:
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": f"{call.resource} {call.name}: refused by the story",
        "reason": REASONS[code],
        "details": {"name": call.name, "group": call.group, "kind": call.resource},
        "code": code,
    }
    headers = {"Content-Type": "application/json"}
    if code == 429:
        status["details"]["retryAfterSeconds"] = RETRY_AFTER
        headers["Retry-After"] = str(RETRY_AFTER)
    return Answer(code, json.dumps(status).encode(), headers)


def killed(kill: Callable[[], None]) -> Fault:
    """The API server did what was asked for, and nobody is there any more to hear it."""

    async def fault(_: Call, hand_on: HandOn) -> Answer:
        answer = await hand_on()
        kill()
        return answer

    return fault


def late(seconds: float) -> Fault:
    """The API server hears of it later."""

    async def fault(_: Call, hand_on: HandOn) -> Answer:
        await asyncio.sleep(seconds)
        return await hand_on()

    return fault


class Held:
    """The call is on its way for as long as the story likes."""

    def __init__(self) -> None:
        self.caught: list[Call] = []
        self.released = False

    def release(self) -> None:
        self.released = True

    async def __call__(self, call: Call, hand_on: HandOn) -> Answer:
        self.caught.append(call)
        while not self.released:  # set by another thread
            await asyncio.sleep(0.02)
        return await hand_on()
