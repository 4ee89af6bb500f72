"""A chat system: hands messages in over HTTPS with a ServiceAccount's token, as any HTTP client would."""

import gzip
import http.client
import json
import socket
import ssl
import time
from collections.abc import Iterable
from dataclasses import dataclass

from .books import Sent
from .node import Failed, eventually, kubectl, token

PORT = 443
TOKEN_SECONDS = 1800  # kubectl's last an hour; a long run asks again in time
NDJSON = "application/x-ndjson"
JSON = "application/json"
Headers = dict[str, str]


@dataclass
class Answer:
    """What the archiver answered."""

    status: int
    body: dict
    headers: Headers

    @property
    def problem(self) -> str | None:
        """The kind of problem, by the last word of its type."""
        return self.body.get("type", "").rpartition(":")[2] or None


class Connection(http.client.HTTPSConnection):
    """Connects to an address and verifies the certificate for a name, so that no DNS is needed."""

    def __init__(self, name: str, address: str, trust: ssl.SSLContext, timeout: float, port: int = PORT):
        super().__init__(name, port, context=trust, timeout=timeout)
        self.address, self.trust = address, trust

    def connect(self) -> None:
        plain = socket.create_connection((self.address, self.port), self.timeout)
        self.sock = self.trust.wrap_socket(plain, server_hostname=self.host)

    def exchange(self, method: str, path: str, body: bytes | None, headers: Headers) -> http.client.HTTPResponse:
        try:
            self.request(method, path, body, headers)
        except (BrokenPipeError, ConnectionResetError):
            if self.sock is None:
                raise
            # A server may refuse a body before it has read it all: what it answered is there to be read.
        return self.getresponse()


class Client:
    """A ServiceAccount that talks to the archiver of a namespace, over one connection after the other."""

    def __init__(self, namespace: str, account: str, timeout: float = 60):
        self.namespace, self.account, self.timeout = namespace, account, timeout
        self.name = f"archiver.{namespace}.svc"
        self.address = kubectl("get", "service", "archiver", "-n", namespace, "-o", "jsonpath={.spec.clusterIP}")
        authority = kubectl("get", "configmap", "archiver-ca", "-n", namespace, "-o", r"jsonpath={.data.ca\.crt}")
        self.trust = ssl.create_default_context(cadata=authority)
        self.connection: Connection | None = None
        self.token, self.token_until = "", 0.0

    def post(self, messages: dict | list[dict]) -> Answer:
        return self.send("POST", "/v1/messages", json.dumps(messages).encode(), {"Content-Type": JSON})

    def hand_in(self, messages: Iterable[dict], sent: Sent | None = None) -> None:
        """All of them are taken, which `sent` notes."""
        messages = list(messages)
        answer = self.post(messages)
        if answer.status != 200:
            raise Failed(f"{len(messages)} messages: {answer.status} {answer.body}")
        if sent is not None:
            sent.add_all(messages)

    def post_lines(self, lines: list[bytes]) -> Answer:
        """NDJSON, compressed."""
        body = gzip.compress(b"\n".join(lines) + b"\n", 6)
        return self.send("POST", "/v1/messages", body, {"Content-Type": NDJSON, "Content-Encoding": "gzip"})

    def books(self) -> dict[str, int]:
        return self.get("/v1/books").body

    def drained(self, patience: float = 90) -> dict[str, int]:
        """The books, once nothing waits any more."""
        return eventually(lambda: (books := self.books())["waiting"] == 0 and books, patience, "all is delivered")

    def get(self, path: str) -> Answer:
        answer = self.send("GET", path)
        if answer.status not in (200, 404):
            raise Failed(f"GET {path}: {answer.status} {answer.body}")
        return answer

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: Headers | None = None, patience: float = 60
    ) -> Answer:
        """One request; while the archiver cannot be reached or says 503, the same again, as a chat system would."""
        deadline = time.monotonic() + patience
        while True:
            try:
                answer = self.once(method, path, body, {**self.authorization(), **(headers or {})})
                if answer.status != 503:
                    return answer
                why, pause = f"503 {answer.body}", min(float(answer.headers.get("retry-after", 1)), 5)
            except (OSError, http.client.HTTPException) as error:
                why, pause = repr(error), 0.2
            if time.monotonic() > deadline:
                raise Failed(f"{method} {path} at {self.name}: {why}")
            time.sleep(pause)

    def once(self, method: str, path: str, body: bytes | None, headers: Headers) -> Answer:
        """One request, once."""
        self.connection = self.connection or self.connect()
        try:
            response = self.connection.exchange(method, path, body, headers)
            answer = Answer(
                response.status,
                json.loads(response.read() or b"{}"),
                {name.lower(): value for name, value in response.getheaders()},
            )
        except BaseException:
            self.close()
            raise
        if response.will_close:
            self.close()
        return answer

    def connect(self) -> Connection:
        return Connection(self.name, self.address, self.trust, self.timeout)

    def authorization(self) -> Headers:
        if time.monotonic() > self.token_until:
            self.token = token(self.account, self.namespace, f"imarchive.dev/{self.namespace}")
            self.token_until = time.monotonic() + TOKEN_SECONDS
        return {"Authorization": f"Bearer {self.token}"}

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None
