"""Who may ask: the token, our own Host and our own page; no name and no text reaches beyond the corpus."""

import json

import pytest
from starlette.testclient import TestClient

from clean_corpus.flows.review.app import ASSETS
from clean_corpus.pipeline.corpus.reviewed import NO_REVIEWS
from clean_corpus.pipeline.storage.local import LocalStore
from tests.flows.review.conftest import PORT, TOKEN, page_over
from tests.support.forgettable import Take, write_corpus
from tests.support.ledgers import HOSTILE

OWN = f"http://127.0.0.1:{PORT}"


@pytest.fixture(scope="module")
def bare(read_page):
    """The server without the token in the address."""
    return TestClient(read_page.app, OWN)


@pytest.mark.parametrize("path", ["/", "/api/corpus", "/b-token/api/corpus", f"/{TOKEN}", f"/{TOKEN}x/", f"//{TOKEN}/"])
def test_without_the_token_there_is_nothing(bare, path):
    answer = bare.get(path)
    assert answer.status_code == 404 and "open the address that" in answer.json()["error"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example:8765"},  # a name of theirs that stands for our address
        {"Host": "127.0.0.1"},
        {"Host": f"127.0.0.1:{PORT + 1}"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": f"http://127.0.0.1:{PORT + 1}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},  # another port of this machine
    ],
    ids=str,
)
def test_another_name_or_another_page_is_refused(read_page, headers):
    for answer in (
        read_page.get("api/corpus", headers=headers),
        read_page.post("api/decisions", json={"clip_ids": ["a"], "what": "keep"}, headers=headers),
    ):
        assert answer.status_code == 403 and answer.json().keys() == {"error"}


def test_our_own_page_may_ask_and_a_link_may_open_it(read_page):
    for headers in ({"Origin": OWN, "Sec-Fetch-Site": "same-origin"}, {"Host": f"localhost:{PORT}"}):
        assert read_page.get("api/corpus", headers=headers).status_code == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert read_page.get("", headers=link).status_code == 200
    assert read_page.get("api/corpus", headers=link).status_code == 403


def test_answers_keep_the_page_to_itself(read_page):
    for path in ("", "page/main.js", "api/corpus", "api/clips/nobody", "nothing"):
        headers = read_page.get(path).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "unsafe" not in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer" and headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store" and "server" not in headers


def test_a_form_of_another_page_decides_nothing(read_page):
    for path, body in (("api/publish", "{}"), ("api/decisions", '{"clip_ids": ["a"], "what": "keep"}')):
        answer = read_page.post(path, content=body, headers={"Content-Type": "text/plain"})
        assert answer.status_code == 400, path
    assert read_page.get("api/publish").status_code == 405


TRAVERSALS = ("../pyproject.toml", "..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/etc/passwd", "/etc/passwd", "%00", "app.py")


@pytest.mark.parametrize("name", TRAVERSALS)
def test_a_path_reaches_nothing_but_what_is_listed(written, bare, name):
    written.write("secret", b"secret")
    for folder in ("page", "report", "api/clips", "api/clips/x/audio", "api/clips/x/spectrogram"):
        answer = bare.get(f"/{TOKEN}/{folder}/{name}")
        assert answer.status_code in (400, 404) and answer.headers["content-type"] == "application/json"
        assert b"root:" not in answer.content and b"secret" not in answer.content


def test_the_page_is_served_by_the_names_of_its_files(read_page):
    assert read_page.get("").content == read_page.get("page/index.html").content == ASSETS["index.html"]
    for name, data in ASSETS.items():
        answer = read_page.get(f"page/{name}")
        assert answer.content == data and "__" not in name
    assert read_page.get("page/main.js").headers["content-type"].startswith("text/javascript")


def test_the_report_is_shown_as_a_strangers_page(written, bare, read_page):
    """Its style and script lie within it, so it runs in a sandbox: it can show its own files, and ask nothing."""
    written.write("report/index.html", b"<p>report")
    written.write("report/audio/001-raw.wav", b"RIFF")
    for name, content in (("", b"<p>report"), ("index.html", b"<p>report"), ("audio/001-raw.wav", b"RIFF")):
        answer = read_page.get(f"report/{name}", headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.content == content
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("sandbox allow-scripts") and "default-src 'none'" in policy
        assert "connect-src" not in policy and "allow-same-origin" not in policy
    assert read_page.get("report/audio/002-raw.wav").status_code == 404
    assert bare.get("/report/index.html").status_code == 404


def test_hostile_names_and_texts_are_data(tmp_path):
    store = LocalStore(tmp_path)
    store.prepare()
    names = [
        "../../etc/passwd",
        "a'; DROP TABLE clips; --.wav",
        f"{HOSTILE}.wav",
        "read_text('etc').wav",
        "日本 %_\\.wav",
    ]
    write_corpus(store, [Take(name, f"{name}-speaker") for name in names], extra=False, reviews=NO_REVIEWS)
    page = page_over(store)
    clips = {clip["source"]: clip for clip in page.get("api/clips").json()["clips"]}
    assert clips.keys() == {*names}
    for name in names:
        filter_ = json.dumps({"is": {"speaker": [f"{name}-speaker"]}, "search": f"{name} words"})
        found = page.get("api/clips", params={"filter": filter_}).json()
        assert [clip["source"] for clip in found["clips"]] == [name]
        shown = page.get(f"api/clips/{clips[name]['clip_id']}").json()
        assert (shown["text"], shown["around"]) == (f"words of {name} 0", False)
    assert page.get("api/clips", params={"search": ""}).json()["total"] == len(names)
    with page.opened.corpus.table.asked() as cursor:
        for question in ("SELECT * FROM read_text('/etc/passwd')", "SET enable_external_access = true", "INSTALL x"):
            with pytest.raises(Exception, match=r"disabled|locked|[Cc]annot"):
                cursor.execute(question)
