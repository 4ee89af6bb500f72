"""An archive that keeps every mail's bytes: SMTP on loopback, over STARTTLS, with no more than is needed."""

import asyncio
import ssl
import threading
import time
from dataclasses import dataclass
from pathlib import Path

EHLO = ["sink.archive.example", "PIPELINING", "SIZE 262144000", "8BITMIME"]


@dataclass
class Taken:
    """A mail that was answered 250."""

    recipient: str
    raw: bytes
    at: float


class Sink:
    """Listens from its making to its `close`, in a thread of its own. While `refusing`, it takes no mail: 451."""

    def __init__(self, certificate: Path):
        self.taken: list[Taken] = []
        self.refusing = False
        self.trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.trust.load_cert_chain(certificate)
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self.thread.start()
        ready.wait()

    def _run(self, ready: threading.Event) -> None:
        async def listen() -> None:
            self.server = await asyncio.start_server(self._converse, "127.0.0.1", 0, limit=1 << 26)
            self.port = self.server.sockets[0].getsockname()[1]
            ready.set()

        self.loop.run_until_complete(listen())
        self.loop.run_forever()

    def close(self) -> None:
        def stop() -> None:
            self.server.close()
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.call_soon(self.loop.stop)

        self.loop.call_soon_threadsafe(stop)
        self.thread.join(10)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._session(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass  # a client that is killed says no goodbye
        finally:
            writer.close()

    async def _session(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipient, secure = "", False
        writer.write(b"220 sink.archive.example ESMTP\r\n")
        while line := await reader.readuntil(b"\r\n"):
            word, _, rest = line.strip().decode("ascii").partition(" ")
            match word.upper():
                case "EHLO":
                    lines = EHLO if secure else [*EHLO, "STARTTLS"]
                    reply = [f"250-{text}" for text in lines[:-1]] + [f"250 {lines[-1]}"]
                    writer.write(("\r\n".join(reply) + "\r\n").encode())
                case "STARTTLS":
                    writer.write(b"220 go on\r\n")
                    await writer.start_tls(self.trust)
                    secure = True
                case _ if not secure:
                    writer.write(b"530 5.7.0 STARTTLS first\r\n")
                case "RCPT":
                    recipient = rest[rest.index("<") + 1 : rest.index(">")]
                    writer.write(b"250 2.1.5 ok\r\n")
                case "DATA":
                    writer.write(b"354 go on\r\n")
                    raw = unstuffed(await reader.readuntil(b"\r\n.\r\n"))
                    if self.refusing:
                        writer.write(b"451 4.3.0 not now\r\n")
                    else:
                        # Kept before it is said: a mail whose answer is lost was taken all the same.
                        self.taken.append(Taken(recipient, raw, time.monotonic()))
                        writer.write(f"250 2.0.0 taken as {len(self.taken)}\r\n".encode())
                case "QUIT":
                    writer.write(b"221 2.0.0 bye\r\n")
                    await writer.drain()
                    return
                case "MAIL" | "RSET" | "NOOP":
                    writer.write(b"250 2.0.0 ok\r\n")
                case _:
                    writer.write(b"502 5.5.1 unknown\r\n")
            await writer.drain()


def unstuffed(data: bytes) -> bytes:
    """The mail without the last dot and the dots that were put before others."""
    return (b"\r\n" + data[:-3]).replace(b"\r\n..", b"\r\n.")[2:]
