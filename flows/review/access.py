"""Who may ask the review page's server: whoever has the token, of this machine's own page, under its own name.

The server is bound to this machine, but every web page that its user opens can send requests there too, and a name
that a stranger owns can be made to stand for its address. So a request needs the token in its path, a Host that is
ours, and no other page as its origin.
"""

import hmac
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
REPORT_POLICY = (
    "sandbox allow-scripts allow-downloads; default-src 'none'; img-src 'self' data:; media-src 'self'; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Of the static report, which has its style and script within: they run as a stranger's, and can ask nothing here."""

REPORT = "/report/"
_HEADERS = {
    b"referrer-policy": b"no-referrer",  # the token is in the address
    b"x-content-type-options": b"nosniff",
    b"cross-origin-resource-policy": b"same-origin",
}
_UNSTORED = (b"cache-control", b"no-store")  # unless an answer says otherwise


def new_token() -> str:
    """Return a token that nobody guesses."""
    return secrets.token_urlsafe(24)


class Access:
    """Let through what may ask, with the token taken off the path, and send headers that keep the page to itself."""

    def __init__(self, app: App, *, token: str, port: int) -> None:
        self._app, self._token = app, f"/{token}".encode()
        self._hosts = {f"{name}:{port}".encode() for name in ("127.0.0.1", "localhost")}
        if port == 80:
            self._hosts |= {b"127.0.0.1", b"localhost"}
        self._origins = {b"http://" + host for host in self._hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # there are no web sockets here
        if problem := self._problem(scope):
            await _refuse(send, *problem)
            return
        path = scope["path"][len(self._token) :] or "/"
        inner = {**scope, "path": path, "raw_path": path.encode(), "root_path": ""}
        policy = REPORT_POLICY if path.startswith(REPORT) else POLICY

        async def send_guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = _HEADERS | {b"content-security-policy": policy.encode()}
                if path.startswith(REPORT):  # its pictures are asked for by the sandbox that it runs in
                    own[b"cross-origin-resource-policy"] = b"cross-origin"
                kept = [(name, value) for name, value in message["headers"] if name.lower() not in own]
                kept += [] if _UNSTORED[0] in dict(kept) else [_UNSTORED]
                message = {**message, "headers": [*kept, *own.items()]}
            await send(message)

        await self._app(inner, receive, send_guarded)

    def _problem(self, scope: Scope) -> tuple[int, str] | None:
        """Return status and words of why a request is refused, None if it is not."""
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        if len(headers.get(b"host", [])) != 1 or headers[b"host"][0].lower() not in self._hosts:
            return 403, "this server answers under 127.0.0.1 and localhost alone"
        start, slash, rest = scope["path"].encode("utf-8", "surrogateescape")[1:].partition(b"/")
        if not slash or not hmac.compare_digest(b"/" + start, self._token):
            return 404, "no such page; open the address that `clean-corpus review` printed"
        if any(origin not in self._origins for origin in headers.get(b"origin", [])):
            return 403, "another page may not ask here"
        is_stranger = any(site in (b"cross-site", b"same-site") for site in headers.get(b"sec-fetch-site", []))
        if is_stranger and not (scope["method"] in ("GET", "HEAD") and _is_open(b"/" + rest, headers)):
            return 403, "another page may not ask here"
        return None


def _is_open(path: bytes, headers: dict[bytes, list[bytes]]) -> bool:
    """Return whether a link or a sandboxed page may ask for this: the page itself, and files of the report."""
    if path.startswith(REPORT.encode()):
        return True
    return path == b"/" and headers.get(b"sec-fetch-mode") == [b"navigate"]


async def _refuse(send: Send, status: int, words: str) -> None:
    body = f'{{"error": "{words}"}}'.encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *_HEADERS.items(), _UNSTORED]})
    await send({"type": "http.response.body", "body": body})
