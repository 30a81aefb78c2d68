"""Ending a command at Ctrl-C or SIGTERM, at once and with a message."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

EXIT_CODE = 130  # of a shell's command that Ctrl-C ended
LAST_WORDS_S = 1.0


@contextmanager
def interruptible(show: Callable[[str], None], message: str) -> Iterator[None]:
    """End this process at the first Ctrl-C or SIGTERM within the block: show the message, exit with code 130.

    Files are whole at every moment, so nothing needs to be put in order first. A thread reads the signals from the
    wake-up pipe: while a flow runs, Prefect's own SIGTERM handler is in place, which would wait for every task.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)

    def say() -> None:
        with suppress(OSError, SystemExit):  # rich's, where whoever read our output is gone: Ctrl-C ends `tee` too
            show(message)

    def listen() -> None:
        while number := os.read(reader, 1):  # empty: the block was left
            if number[0] in (signal.SIGINT, signal.SIGTERM):
                last = threading.Thread(target=say, daemon=True)
                last.start()
                last.join(LAST_WORDS_S)  # a pager that is not scrolled takes none
                os._exit(EXIT_CODE)  # workers and server notice that their parent is gone, and end too
        os.close(reader)

    # the tracker of multiprocessing would complain about what the sudden end leaves to it
    os.environ.setdefault("PYTHONWARNINGS", "ignore::UserWarning:multiprocessing.resource_tracker")
    previous = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    outer = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=listen, daemon=True).start()
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(outer)
        os.close(writer)
