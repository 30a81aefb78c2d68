"""The server of a run answers while its block runs, ends with it or its process, or says why it does not start."""

import http.client
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from clean_corpus.flows import local_server
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError


@pytest.fixture
def prefect_home(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    return tmp_path


def healthy(url: str) -> bool:
    try:
        return urllib.request.urlopen(f"{url}/health", timeout=60).read() == b"true"
    except (urllib.error.URLError, ConnectionError, http.client.HTTPException):  # ended amid its answer, too
        return False


def test_a_server_answers_in_the_block_and_is_gone_after_it(prefect_home):
    with local_server.server(prepare=lambda: os.environ["PREFECT_API_URL"]) as url:  # imports of prefect find it
        assert healthy(url)
        with local_server.server():  # a second flow within the block
            assert os.environ["PREFECT_API_URL"] == url
        assert healthy(url)
    assert "PREFECT_API_URL" not in os.environ and not healthy(url)


def test_a_server_ends_with_a_process_that_is_killed(prefect_home):
    code = "import time, os\nfrom clean_corpus.flows import local_server\nwith local_server.server():\n"
    code += "    print(os.environ['PREFECT_API_URL'], flush=True)\n    time.sleep(100)\n"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    url = parent.stdout.readline().strip()
    assert healthy(url)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 20
    while healthy(url) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not healthy(url)


def test_a_server_that_cannot_start_is_an_error_that_names_its_log(prefect_home, monkeypatch):
    monkeypatch.setattr(local_server, "_SERVE", "import sys; print('no database'); sys.exit(7)")
    message = r"did not start.*ended with code 7\. See .*server\.log"
    with pytest.raises(CleanCorpusError, match=message), local_server.server():
        pytest.fail("there is no server")
    assert Path(prefect_home, "server.log").read_text() == "no database\n"
    assert "PREFECT_API_URL" not in os.environ


def test_what_is_wrong_before_it_has_started_ends_it_at_once(prefect_home):
    def prepare() -> None:
        raise ConfigError("no such setting")

    begin = time.monotonic()
    with pytest.raises(ConfigError, match="no such setting"), local_server.server(prepare):
        pytest.fail("the block ran")
    assert time.monotonic() - begin < 2 and "PREFECT_API_URL" not in os.environ


def test_a_server_that_the_user_names_is_used(prefect_home, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    with local_server.server(prepare=lambda: "prepared") as prepared:
        assert prepared == "prepared"
        assert os.environ["PREFECT_API_URL"] == "http://127.0.0.1:1/api"


def test_what_the_user_set_stays(prefect_home, monkeypatch):
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "DEBUG")
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", dict(os.environ))
        local_server.configure()
        assert os.environ["PREFECT_LOGGING_LEVEL"] == "DEBUG"
