"""The command `forget`: what it says before and after, what it refuses, and how it asks."""

import shutil
from pathlib import Path

import pytest

from clean_corpus.flows.cli import forget as cli
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError
from clean_corpus.pipeline.corpus import versions
from clean_corpus.pipeline.storage.local import LocalStore
from tests.support.commands import invoke
from tests.support.forgettable import Take, write_corpus

BUCKET = "forget-lists"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    store = LocalStore(tmp_path_factory.mktemp("made"))
    store.prepare()
    write_corpus(store, [Take("a.wav")], extra=False)
    write_corpus(store, [Take("a.wav"), Take("b.wav")], extra=False)
    return store.root


def test_a_name_with_line_ends_is_listed_as_one_line(tmp_path):
    store = LocalStore(tmp_path)
    store.prepare()
    write_corpus(store, [Take("new\nline\x1b[2J.wav")], extra=False)
    printed = invoke("forget", store.root, "--source", "new*", "--dry-run").stdout
    assert printed.splitlines()[1:2] == [r"  new\nline\x1b[2J.wav"]


@pytest.fixture
def store(made, tmp_path):
    """Two versions, with a and with a and b."""
    return LocalStore(Path(shutil.copytree(made, tmp_path / "corpus")))


def test_a_dry_run_counts_and_changes_nothing(store):
    before = list(store.walk(""))
    said = invoke("forget", store.root, "--source", "a.*", "--dry-run").stdout
    assert said == "1 clips of 1 recordings, 0.00 h (0.5 s)\n  a.wav\n"
    assert list(store.walk("")) == before


def test_a_dry_run_names_the_first_of_many_recordings_and_of_their_copies(tmp_path):
    store = LocalStore(tmp_path / "corpus")
    store.prepare()
    takes = [Take(f"b{n:02}.wav", "bob") for n in range(12)]
    write_corpus(store, [*takes, Take("b00.mp3"), Take("c.wav", content="b03.wav")], extra=False)
    said = invoke("forget", store.root, "--speaker", "bob", "--dry-run").stdout.splitlines()
    assert said[0].startswith("14 clips of 14 recordings")
    assert said[1:] == [
        *(f"  b{n:02}.wav" for n in range(10)),
        "  and 2 more",
        "2 recordings of these nobody named: they hold the same audio, or have the same name",
        "  b00.mp3",
        "  c.wav",
        "speakers: bob",
    ]


def test_it_asks_on_a_terminal_and_nowhere_else(store, monkeypatch):
    with pytest.raises(ConfigError, match="no terminal to ask on; give --yes"):
        invoke("forget", store.root, "--source", "a.*")
    monkeypatch.setattr(cli, "_has_terminal", lambda: True)
    monkeypatch.setattr(cli.typer, "confirm", lambda question, **_: (_ for _ in ()).throw(CleanCorpusError("no")))
    with pytest.raises(CleanCorpusError, match="no"):
        invoke("forget", store.root, "--source", "a.*")
    assert versions.numbers(store) == [1, 2] and not list(store.keys("forgotten/requests"))


def test_what_goes_is_gone_and_verify_says_so(store):
    whole = store.read(versions.read(store, 1).shards[0].key)
    result = invoke("forget", store.root, "--source", "a.*", "--yes", "--reference", "T-7")
    assert result.stdout.startswith("1 clips of 1 recordings, 0.00 h (0.5 s)\n  a.wav\nrequest: 2")
    assert "versions 3 to 4 stand for those before" in result.stderr
    assert "(was 2)" in invoke("versions", store.root).stdout
    assert invoke("verify", store.root).stderr.endswith("2 versions, 3 objects, 0 wrong\n")
    store.write("mine/notes.bin", b"x")
    assert "what is forgotten: 1 objects, the first is mine/notes.bin" in invoke("verify", store.root).stderr
    again = invoke("forget", store.root, "--source", "a.*", "--yes")
    assert "asked for before" in again.stderr and versions.numbers(store) == [3, 4]
    with pytest.raises(ConfigError, match="nothing is left to complete"):
        invoke("forget", store.root)
    store.write("work/raw/late.tar", whole)
    with pytest.raises(CleanCorpusError, match="1 objects are not what was written, or hold what is forgotten"):
        invoke("verify", store.root)


def test_a_list_may_lie_in_a_bucket(store, client):
    client.put_object(Bucket=BUCKET, Key="list.txt", Body=b"b.wav\nc.wav\n")
    with pytest.raises(ConfigError, match="nothing here matches line 2;"):
        invoke("forget", store.root, "--list", f"s3://{BUCKET}/list.txt", "--dry-run")
    with pytest.raises(ConfigError, match=f"s3://{BUCKET}/none: no such object"):
        invoke("forget", store.root, "--list", f"s3://{BUCKET}/none", "--dry-run")


def test_a_list_names_the_lines_that_match_nothing(store, tmp_path):
    path = tmp_path / "list"
    path.write_text("a.wav\nnobody.wav\n")
    with pytest.raises(ConfigError, match="nothing here matches line 2; nothing was changed"):
        invoke("forget", store.root, "--list", path, "--yes")
    result = invoke("forget", store.root, "--list", path, "--yes", "--allow-unmatched")
    assert "1 clips of 1 recordings" in result.stdout
    with pytest.raises(ConfigError, match="No such file"):
        invoke("forget", store.root, "--list", tmp_path / "none")


def test_an_output_without_a_version_is_deleted_as_a_whole(tmp_path):
    with pytest.raises(ConfigError, match="there is no version, so nothing was published; delete the whole"):
        invoke("forget", tmp_path, "--speaker", "bob", "--dry-run")
