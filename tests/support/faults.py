"""A proxy in front of an HTTP server that lets a share of the requests fail, in the ways that networks fail."""

import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, Self
from urllib.parse import urlsplit

Fault = Literal["refuse", "reset", "cut", "stall", "expired", "skewed"]
FAULTS: tuple[Fault, ...] = ("refuse", "reset", "cut", "stall")
PIECE = 2**16
_OF_THE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "expect"}
_REFUSALS: dict[Fault, tuple[int, str]] = {
    "refuse": (503, "SlowDown"),
    "expired": (400, "ExpiredToken"),
    "skewed": (403, "RequestTimeTooSkewed"),
}


class FaultyProxy:
    """Forwards to `upstream` from an address of its own, `url`; requests are at fault with the odds `share`.

    refuse: 503 SlowDown, the server hears nothing of it; reset: the connection is reset before an answer, after the
    server has done what was asked; cut: the answer ends in the middle of its body, or before it if there is none;
    stall: the answer comes after `stall_s` seconds. Beside these, which come by default: expired, skewed: what a server
    says to old credentials and to a wrong clock. `share` and `faults` may be changed at any time. `seen` counts what
    happened, "ok" too. Left and entered again it has the address it had.
    """

    def __init__(
        self, upstream: str, *, share: float, faults: Sequence[Fault] = FAULTS, stall_s: float = 5.0, seed: int = 0
    ) -> None:
        self.upstream, self.share, self.faults, self.stall_s = urlsplit(upstream).netloc, share, tuple(faults), stall_s
        self.seen: Counter[str] = Counter()
        self._random, self._lock = random.Random(seed), threading.Lock()
        self._server: ThreadingHTTPServer | None = self._listening(0)
        self._port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self._port}"

    def _listening(self, port: int) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        server.daemon_threads = True
        return server

    @property
    def away(self) -> bool:
        """Whether nothing listens; connections that were open are reset at their next request."""
        return self._server is None

    def draw(self) -> Fault | None:
        """What is to happen to the next request."""
        with self._lock:
            fault = self._random.choice(self.faults) if self._random.random() < self.share else None
            self.seen[fault or "ok"] += 1
        return fault

    def __enter__(self) -> Self:
        if self._server is None:
            self._server = self._listening(self._port)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._server = None


def _handler(proxy: FaultyProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _any(self) -> None:
            body = self._body()
            if proxy.away:
                self._reset()
                return
            fault = proxy.draw()
            if fault in _REFUSALS:
                status, code = _REFUSALS[fault]
                said = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>"
                self._answer(status, [("Content-Type", "application/xml")], said.encode())
                return
            if fault == "stall":
                time.sleep(proxy.stall_s)
            status, headers, answer = self._forward(body)
            if fault == "reset":
                self._reset()
                return
            self._answer(status, headers, answer, cut=fault == "cut")

        def _reset(self) -> None:
            linger = struct.pack("ii", 1, 0)  # closing sends RST
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
            self.connection.close()

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _any

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                parts = []
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                while self.rfile.readline().strip():
                    pass
                return b"".join(parts)
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))

        def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            upstream = http.client.HTTPConnection(proxy.upstream)
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():  # Host too: it is signed
                if name.lower() not in _OF_THE_CONNECTION | {"content-length"}:
                    upstream.putheader(name, value)
            upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body)
            answer = upstream.getresponse()
            headers = [(n, v) for n, v in answer.getheaders() if n.lower() not in _OF_THE_CONNECTION]
            result = answer.status, headers, answer.read()
            upstream.close()
            return result

        def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, *, cut: bool = False) -> None:
            self.send_response_only(status)
            for name, value in headers:
                if self.command == "HEAD" or name.lower() != "content-length":
                    self.send_header(name, value)
            if self.command != "HEAD":
                self.send_header("Content-Length", str(len(body)))
            if cut:
                self.close_connection = True
                if not body:
                    return  # not even the headers leave
                self.end_headers()
                self.wfile.write(body[: len(body) // 2])
                return
            self.end_headers()
            for start in range(0, len(body), PIECE):
                self.wfile.write(body[start : start + PIECE])

        def log_message(self, *_: object) -> None:
            pass

    return Handler
