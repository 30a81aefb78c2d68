"""The process of the review page: a socket of this machine alone, a token, and the server until Ctrl-C."""

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Iterator

import uvicorn

from clean_corpus.flows.review.access import Access, new_token
from clean_corpus.flows.review.app import make_app
from clean_corpus.flows.review.corpus import Open
from clean_corpus.pipeline.core.errors import ConfigError

HOST = "127.0.0.1"


class _Server(uvicorn.Server):
    """A server that leaves signals to the command that it runs in."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(port: int) -> socket.socket:
    """Return a socket that listens on this machine; port 0 stands for any that is free.

    Raises: ConfigError if the port is taken or may not be used.
    """
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EACCES):
            raise
        raise ConfigError(
            f"--port {port}: {os.strerror(error.errno)}; choose another, or 0 for any that is free"
        ) from None


def serve(opened: Open, output: str, listening: socket.socket, tell: Callable[[str], None]) -> None:
    """Answer requests until the process ends; `tell` gets the address of the page once it can be opened."""
    port, token = listening.getsockname()[1], new_token()
    app = Access(make_app(opened, output), token=token, port=port)
    # no access log: the token is in every address
    config = uvicorn.Config(app, log_level="error", access_log=False, server_header=False, lifespan="off", ws="none")
    tell(f"http://{HOST}:{port}/{token}/")
    _Server(config).run(sockets=[listening])
