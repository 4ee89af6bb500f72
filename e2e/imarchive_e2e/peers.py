"""Peers with faults that no real mail server can be made to have."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from .node import ADDRESS


class Injecting(socketserver.StreamRequestHandler):
    """Offers STARTTLS, and says more in plain text after it has agreed, as somebody in the middle would."""

    def handle(self) -> None:
        self.wfile.write(b"220 archive ESMTP\r\n")
        for line in self.rfile:
            if line.upper().startswith(b"STARTTLS"):
                self.wfile.write(b"220 go ahead\r\n250-archive\r\n250 AUTH PLAIN\r\n")
            else:
                self.wfile.write(b"250-archive\r\n250 STARTTLS\r\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


@contextmanager
def injecting(port: int) -> Iterator[None]:
    with Server((ADDRESS, port), Injecting) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield
        server.shutdown()


@contextmanager
def overwhelmed(port: int) -> Iterator[None]:
    """A port where somebody listens, but takes no connection any more: whoever comes gets no answer at all."""
    with socket.create_server((ADDRESS, port), backlog=0), socket.create_connection((ADDRESS, port)):
        yield
