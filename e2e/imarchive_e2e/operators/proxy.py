"""What stands between an operator and the API server. It hands everything on as it is, watches too; remembers the calls
that change something; and does to a call what a story chooses, see faults.py.

In: plain HTTP on the loopback device. Out: TLS to the API server, with the caller's own Authorization header, so that
its real rights count.
"""

import asyncio
import ssl
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from aiohttp import ClientError, ClientResponse, ClientSession, ClientTimeout, TCPConnector, web

from .calls import MUTATING, Call, call_of
from ..node import ADDRESS, STATE, Failed
from .stale import Stale, key_of

API_SERVER = f"https://{ADDRESS}:6443"
# What belongs to one connection only. And nothing is compressed, so that lists and watches can be read on their way.
OF_CONNECTION = {"host", "connection", "keep-alive", "transfer-encoding", "content-length", "accept-encoding"}
LONGEST_LINE = 2**22  # bytes of an object in a watch
PATIENCE = 10.0  # seconds


@dataclass(frozen=True)
class Answer:
    """What is said to the operator."""

    status: int
    body: bytes
    headers: dict[str, str]

    def response(self) -> web.Response:
        return web.Response(status=self.status, body=self.body, headers=self.headers)


HandOn = Callable[[], Awaitable[Answer]]
Fault = Callable[[Call, HandOn], Awaitable[Answer]]


class Proxy:
    """Runs in a thread of its own, in the network that the caller is in."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.choose: Callable[[Call], Fault | None] = lambda _: None
        self.stale = Stale()
        self.life = 1
        self.port = 0
        self.lives: WeakKeyDictionary[asyncio.Transport, int] = WeakKeyDictionary()
        self.watches: set[asyncio.Transport] = set()
        self.under_way: set[asyncio.Task] = set()
        self.loop = asyncio.new_event_loop()
        self.began, self.end = threading.Event(), asyncio.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self) -> "Proxy":
        self.thread.start()
        if not self.began.wait(PATIENCE):
            raise Failed("the proxy before the API server did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self.end.set)
        self.thread.join(PATIENCE)

    # ---- what a story does ----

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def changes(self, since: int = 0) -> list[Call]:
        """The calls from the given one on, but for those that renew a Lease."""
        return [call for call in self.calls[since:] if not call.is_of_lease]

    def drop_watches(self) -> None:
        self.loop.call_soon_threadsafe(self.abort_watches)

    def next_life(self) -> None:
        """The operator was killed: what still comes over its connections is of the life that ended."""
        self.life += 1

    # ---- in the proxy's own thread ----

    def run(self) -> None:
        self.loop.run_until_complete(self.serve())
        self.loop.close()

    async def serve(self) -> None:
        trust = ssl.create_default_context(cafile=STATE / "pki/ca.crt")
        connector = TCPConnector(ssl=trust, limit=0)
        timeout = ClientTimeout(total=None, sock_connect=PATIENCE)
        async with ClientSession(connector=connector, timeout=timeout, read_bufsize=LONGEST_LINE) as self.session:
            # A watch ends with whoever watches.
            runner = web.ServerRunner(web.Server(self.handle, handler_cancellation=True), shutdown_timeout=0)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.port = runner.addresses[0][1]
            self.began.set()
            await self.end.wait()
            await runner.cleanup()
            for task in self.under_way:
                task.cancel()
            await asyncio.gather(*self.under_way, return_exceptions=True)

    def abort_watches(self) -> None:
        for connection in self.watches:
            connection.abort()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        life = self.lives.setdefault(request.transport, self.life)
        try:
            if request.method in MUTATING:
                return await self.change(request, life)
            if request.query.get("watch") in ("true", "1"):
                return await self.watch(request)
            return await self.read(request)
        except (ClientError, OSError):  # to the operator it is as if itself had not reached the API server
            abort(request)
            return web.Response(status=502)

    async def change(self, request: web.BaseRequest, life: int) -> web.StreamResponse:
        body = await request.read()
        call = call_of(request.method, request.path, body, life)
        call.begun = time.monotonic()
        self.calls.append(call)

        async def hand_on() -> Answer:
            answer = await self.forwarded(request, body)
            call.answer, call.answered = answer.status, time.monotonic()
            return answer

        fault = self.choose(call)
        # What is on its way arrives, also when who sent it is gone.
        task = asyncio.ensure_future(fault(call, hand_on) if fault else hand_on())
        self.under_way.add(task)
        task.add_done_callback(self.forget)
        answer = await asyncio.shield(task)
        call.told = answer.status
        return answer.response()

    def forget(self, task: asyncio.Task) -> None:
        self.under_way.discard(task)
        if not task.cancelled():
            task.exception()  # was told to whoever still waits

    async def read(self, request: web.BaseRequest) -> web.StreamResponse:
        key = key_of(request.rel_url)
        if (body := self.stale.list_instead(key)) is not None:
            return web.Response(body=body, content_type="application/json")
        answer = await self.forwarded(request, b"")
        if answer.status == 200:
            self.stale.remember(key, answer.body)
        return answer.response()

    async def watch(self, request: web.BaseRequest) -> web.StreamResponse:
        key = key_of(request.rel_url)
        watch = self.stale.watch_instead(key)
        if watch.refused is not None:
            return web.Response(status=410, body=watch.refused, content_type="application/json")
        query = dict(request.query) | ({"resourceVersion": watch.begin} if watch.begin else {})
        self.watches.add(connection := request.transport)
        try:
            async with self.asked(request, query) as upstream:
                response = web.StreamResponse(status=upstream.status, headers=passed_on(upstream))
                await response.prepare(request)
                async for line in upstream.content:
                    await response.write(line)
                    await asyncio.sleep(self.stale.pause_after(key, watch, line))
                await response.write_eof()
                return response
        finally:
            self.watches.discard(connection)

    async def forwarded(self, request: web.BaseRequest, body: bytes) -> Answer:
        async with self.asked(request, dict(request.query), body) as upstream:
            return Answer(upstream.status, await upstream.read(), passed_on(upstream))

    @asynccontextmanager
    async def asked(self, request: web.BaseRequest, query: dict, body: bytes = b"") -> AsyncIterator[ClientResponse]:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in OF_CONNECTION}
        headers["Accept-Encoding"] = "identity"
        url = API_SERVER + request.path
        async with self.session.request(
            request.method, url, params=query, headers=headers, data=body or None, allow_redirects=False
        ) as upstream:
            yield upstream


def passed_on(upstream: ClientResponse) -> dict[str, str]:
    return {name: value for name, value in upstream.headers.items() if name.lower() not in OF_CONNECTION}


def abort(request: web.BaseRequest) -> None:
    if request.transport is not None:
        request.transport.abort()
