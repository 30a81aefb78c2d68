"""The server of a run answers while its block runs, ends with it or its process, or says why it does not start."""

import base64
import http.client
import os
import shutil
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from clean_corpus.flows import local_server
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError


@pytest.fixture
def prefect_home(monkeypatch, tmp_path, prefect_database):
    for name in [name for name in os.environ if name.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    shutil.copy(prefect_database, tmp_path)
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


@pytest.fixture
def answering():
    """A server that gives the answers of a table, path -> (status, body); others are 404."""
    answers, asked = {}, []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Authorization")))
            login = self.headers.get("Authorization")
            status, body = answers.get((self.path, login)) or answers.get(self.path) or (404, "no such page")
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        made.answers, made.asked, made.url = answers, asked, f"http://127.0.0.1:{made.server_port}/api"
        yield made
        made.shutdown()
        thread.join()


HEALTHY = {"/api/health": (200, "true"), "/api/admin/version": (200, '"3.8.8"')}


def test_a_server_that_the_user_names_is_used(prefect_home, monkeypatch, answering):
    answering.answers.update(HEALTHY)
    monkeypatch.setenv("PREFECT_API_URL", answering.url)
    with local_server.server(prepare=lambda: "prepared") as prepared:
        assert prepared == "prepared"
        assert os.environ["PREFECT_API_URL"] == answering.url


@pytest.mark.parametrize(
    ("address", "answers", "words"),
    [
        ("http://127.0.0.1:1/api", {}, r"'http://127\.0\.0\.1:1/api': no Prefect server there: .*refused; start that"),
        ("http://me:hunter2pw@127.0.0.1:1/api", {}, r"'http://\*\*\*\*@127\.0\.0\.1:1/api': no Prefect server there"),
        ("garbage", {}, r"'garbage': no address such as http://127\.0\.0\.1:4200/api; .*unset the variable"),
        ("", {}, "'': no address such as"),
        ("http://h:abc/api", {}, "no Prefect server there: Invalid port: 'abc'"),
        (None, {}, r"what answers \(status 404\) is something else"),
        (None, {"/api/health": (200, "<html>")}, r"what answers \(status 200\) is something else"),
        (None, HEALTHY | {"/api/admin/version": (401, "no")}, "set PREFECT_API_AUTH_STRING to its user:password"),
    ],
)
def test_what_is_no_server_is_refused_before_anything_is_prepared(
    prefect_home, monkeypatch, answering, address, answers, words
):
    answering.answers.update(answers)
    monkeypatch.setenv("PREFECT_API_URL", answering.url if address is None else address)
    with pytest.raises(ConfigError, match=words) as refused, local_server.server(lambda: pytest.fail("prepared")):
        pytest.fail("the block ran")
    assert str(refused.value).startswith("PREFECT_API_URL ") and "hunter2pw" not in str(refused.value)


def test_a_server_that_asks_for_a_password_is_given_it(prefect_home, monkeypatch, answering):
    login = "Basic " + base64.b64encode(b"me:pw").decode()
    refused = {"/api/admin/version": (401, "no"), ("/api/admin/version", login): (200, '"3.8.8"')}
    answering.answers.update(HEALTHY | refused)
    monkeypatch.setenv("PREFECT_API_URL", answering.url)
    monkeypatch.setattr(local_server, "_login", lambda: ("me", "pw"))
    local_server.require_server()
    assert answering.asked[-1] == ("/api/admin/version", login)


def test_what_the_user_set_stays(prefect_home, monkeypatch):
    monkeypatch.setenv("PREFECT_LOGGING_LEVEL", "DEBUG")
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", dict(os.environ))
        local_server.configure()
        assert os.environ["PREFECT_LOGGING_LEVEL"] == "DEBUG"
