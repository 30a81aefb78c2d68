"""The command `review`: its address, its end by Ctrl-C, and words for what it cannot do."""

import json
import re
import signal
import socket
import time
import urllib.error
import urllib.request

import pytest

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.corpus.reviewed import NO_REVIEWS
from clean_corpus.pipeline.storage.local import LocalStore
from tests.support.commands import invoke
from tests.support.forgettable import Take, write_corpus


@pytest.fixture
def output(tmp_path):
    store = LocalStore(tmp_path / "out")
    store.prepare()
    write_corpus(store, [Take("anne/1.wav", "anne")], extra=False, reviews=NO_REVIEWS)
    return store.root


def test_the_page_is_there_until_ctrl_c(start, output, tmp_path):
    (temporary := tmp_path / "tmp").mkdir()
    process = start("review", output, "--port", 0, "--by", "anna", TMPDIR=str(temporary))
    address = process.stdout.readline().strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", address)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"{address}api/corpus") as answer:
        facts = json.load(answer)
    assert (facts["output"], facts["clips"], facts["reviewer"]) == (str(output), 1, "anna")
    with pytest.raises(urllib.error.HTTPError, match="404"):
        opener.open(address.rpartition("/")[0].rpartition("/")[0] + "/")
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "review ended; what was decided is stored\n")
    end = time.monotonic() + 30
    while (left := list(temporary.iterdir())) and time.monotonic() < end:
        time.sleep(0.05)
    assert not left, "recordings would lie there"


def test_what_cannot_be_opened_is_said(output, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"--port {port}: Address already in use; choose another, or 0"):
            invoke("review", output, "--port", port)
    with pytest.raises(ConfigError, match="there is no version 7; there are: 1"):
        invoke("review", output, "--port", 0, "--version", 7)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="there is no version; `clean-corpus run` makes one"):
        invoke("review", tmp_path / "empty", "--port", 0)
