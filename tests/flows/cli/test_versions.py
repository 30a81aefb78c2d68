"""The commands over versions: what each prints of two versions that are known clip by clip."""

import io
import json

import pyarrow.parquet as pq
import pytest

from clean_corpus.pipeline.core.config import S3Config
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.corpus import versions
from clean_corpus.pipeline.report import made_of
from clean_corpus.pipeline.storage import open_store
from clean_corpus.pipeline.storage.local import LocalStore
from tests.support import corpora
from tests.support.commands import invoke
from tests.support.forgettable import Take, write_corpus
from tests.support.versions import draft, row, tar_key

BUCKET = "rolled-back"


@pytest.fixture
def store(tmp_path) -> LocalStore:
    """Version 1 keeps a and b; in version 2 a is gone, b is rejected, c is new and kept."""
    made = LocalStore(tmp_path)
    versions.publish(made, draft(made, row("a"), row("b")))
    versions.publish(made, draft(made, row("b", "rejected", reason="snr_db"), row("c")))
    return made


def cells(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if line.strip()]


def test_versions_are_listed_the_newest_last(store):
    made = [versions.read(store, number).made[:16].split("T") for number in (1, 2)]
    head, *rows = cells(invoke("versions", store.root).stdout)
    assert head == ["version", "made", "kept", "rejected", "failed", "hours", "enhancer"]
    assert rows[-2:] == [["1", *made[0], "2", "0", "0", "2.00", "crn"], ["2", *made[1], "1", "1", "0", "1.00", "crn"]]


@pytest.mark.parametrize("command", ["versions {}", "models"])
def test_a_narrow_terminal_or_a_pipe_cuts_nothing_off(store, monkeypatch, command):
    arguments = command.format(store.root).split()
    wide = cells(invoke(*arguments).stdout.partition("papers:")[0])
    monkeypatch.setenv("COLUMNS", "30")
    narrow = cells(invoke(*arguments).stdout.partition("papers:")[0])
    assert [row for row in narrow if "─" not in row[0]] == [row for row in wide if "─" not in row[0]]


def test_versions_as_json_are_a_list(store):
    listed = json.loads(invoke("versions", store.root, "--json").stdout)
    assert [(one["version"], one["again"], one["run"]["counts"]["kept"]) for one in listed] == [
        (1, None, 2),
        (2, None, 1),
    ]
    assert all(one.keys() == {"version", "made", "again", "rewrites", "run"} for one in listed)


def test_an_output_without_versions_is_an_empty_list(tmp_path):
    assert json.loads(invoke("versions", tmp_path, "--json").stdout) == []


def test_a_difference_is_told_clip_by_clip(store):
    result = invoke("diff", store.root, 1, 2)
    assert result.stdout.splitlines() == ["+ c", "- a", "~ b: kept enhanced -> rejected snr_db enhanced"]
    assert result.stderr == "1 new, 1 gone, 1 changed\n"


def test_other_audio_under_the_same_end_is_told_as_such(store):
    versions.publish(store, draft(store, row("b", "rejected", reason="snr_db"), row("c", gain_db=2.0)))
    assert invoke("diff", store.root, 2, 3).stdout == "~ c: kept enhanced, other audio\n"


def test_a_text_and_a_speaker_that_a_manifest_corrects_are_told(store):
    versions.publish(store, draft(store, row("b", "rejected", reason="snr_db"), row("c", text="mended", speaker="x")))
    result = invoke("diff", store.root, 2, 3)
    assert (
        result.stdout == "~ c: kept enhanced, other text, speaker\n" and result.stderr == "0 new, 0 gone, 1 changed\n"
    )


def test_a_rollback_is_a_new_version_that_names_the_old_one(store):
    assert invoke("rollback", store.root, 1).stdout == "version: 3\n"
    rows = cells(invoke("versions", store.root).stdout)
    assert rows[-1][:3] == ["3", "(1", "again)"]
    with pytest.raises(ConfigError, match="version 3 is the newest already"):
        invoke("rollback", store.root, 3)
    with pytest.raises(ConfigError, match="there is no version 9; there are: 1, 2, 3"):
        invoke("rollback", store.root, 9)


@pytest.fixture(params=["folder", "bucket"])
def reported(request, tmp_path):
    """Version 1 has the recording a, version 2 a and b; report and run.json are of version 2."""
    where = tmp_path / "out"
    if request.param == "bucket":
        request.getfixturevalue("client")
        where = S3Folder(BUCKET, tmp_path.name)
    made = open_store(where, S3Config())
    made.prepare()
    write_corpus(made, [Take("a.wav")], extra=False)
    write_corpus(made, [Take("a.wav"), Take("b.wav")])
    made.write(f"report/{made_of.NAME}", json.dumps({"version": 2}).encode())
    return made


def clips(data):
    return {row["clip_id"] for row in pq.read_table(io.BytesIO(data)).to_pylist()}


def check_told(store, version):
    """Ledger, report and run.json are of a version that holds a alone."""
    (a,), (b,) = Take("a.wav").clip_ids(), Take("b.wav").clip_ids()
    facts = json.loads(store.read("run.json"))
    assert (facts["version"], facts["counts"]["in"]) == (version, 1) and clips(store.read("ledger.parquet")) == {a}
    page = store.read("report/index.html").decode()
    assert a in page and b not in page
    assert store.size(f"report/{made_of.NAME}") is None, "the next run makes the report of its version"


def test_after_a_rollback_report_ledger_and_facts_are_those_of_what_is_back(reported):
    assert invoke("rollback", reported.root, 1).stdout == "version: 3\n"
    check_told(reported, 3)
    assert [key for key in reported.walk("report") if key.endswith(".flac") or key.endswith(".wav")], "it plays nothing"


def test_a_rollback_that_died_after_its_commit_is_completed_by_the_same_command(reported):
    versions.rollback(reported, 1)
    with reported.opened(versions.read(reported, 2).ledger.key) as file:
        reported.copy(file, "ledger.parquet")
    assert invoke("rollback", reported.root, 1).stdout == "version: 3\n"
    check_told(reported, 3)
    assert invoke("rollback", reported.root, 2).stdout == "version: 4\n", "a new wish is a new version"


def test_an_output_that_a_run_writes_is_left_alone(store):
    for command in (["rollback", store.root, 1], ["gc", store.root, "--keep", 1]):
        with store.only_run(), pytest.raises(ConfigError, match="another run"):
            invoke(*command)
    assert versions.numbers(store) == [1, 2]


def test_whole_versions_are_verified(store):
    assert invoke("verify", store.root).stderr.splitlines()[-1] == "2 versions, 4 objects, 0 wrong"
    assert invoke("verify", store.root, "--version", 1).stderr.splitlines()[-1] == "1 versions, 2 objects, 0 wrong"


def test_damage_is_named_and_an_error(store):
    store.delete(tar_key("c"))
    assert invoke("verify", store.root, "--version", 1).exit_code == 0
    with pytest.raises(CleanCorpusError, match=f"^OUTPUT {store.root}: 1 objects are not what was written"):
        invoke("verify", store.root)


def test_an_output_without_versions_cannot_be_verified(tmp_path):
    with pytest.raises(ConfigError, match=f"^OUTPUT {tmp_path}: there is no version; `clean-corpus run` makes one"):
        invoke("verify", tmp_path)


def test_old_versions_are_dropped_with_what_only_they_name(store):
    store.write("work/raw/x.tar", b"x")
    first = versions.read(store, 1).ledger.key
    result = invoke("gc", store.root, "--keep", 1)
    assert set(result.stdout.splitlines()) == {"versions/0001/manifest.json", tar_key("a", "b"), first}
    assert result.stderr == "3 objects dropped\n" and versions.numbers(store) == [2]
    assert invoke("gc", store.root, "--keep", 1, "--work").stdout == "work/raw/x.tar\n"


@pytest.mark.parametrize("command", [["versions"], ["diff", 1, 2], ["rollback", 1], ["verify"], ["gc", "--keep", 1]])
def test_an_absent_folder_is_named(tmp_path, command):
    name, *rest = command
    with pytest.raises(ConfigError, match=f"^OUTPUT {tmp_path}/gone: no such folder"):
        invoke(name, tmp_path / "gone", *rest)
    assert not (tmp_path / "gone").exists()


def test_settings_of_the_bucket_are_checked(tmp_path):
    with pytest.raises(ConfigError, match=r"unknown key 's3\.endpoint'; did you mean 'endpoint_url'"):
        invoke("versions", tmp_path, "--set", "s3.endpoint=x")


def test_an_export_is_printed_with_what_was_left_out(tmp_path):
    """Of the command `export`, whose work tests/pipeline/export/ covers."""
    store = LocalStore(tmp_path / "out")
    with pytest.raises(ConfigError, match="there is no version; `clean-corpus run` makes one"):
        (tmp_path / "out").mkdir()
        invoke("export", store.root, tmp_path / "x", "--for", "f5-tts")
    corpora.commit(store, [[corpora.Spoken("a"), corpora.Spoken("b", None)]])
    result = invoke("export", store.root, tmp_path / "x", "--for", "f5-tts", "--version", 1)
    assert result.stdout == f"export for f5-tts: {tmp_path}/x\n"
    assert result.stderr.splitlines() == [
        "export: 1/1 shards", "1 clips, 0.00 h, 24000 Hz: train 1", "left out: 1 clips, 0.00 h, without text"
    ]  # fmt: skip
    again = invoke("export", store.root, tmp_path / "x", "--for", "f5-tts", "--speaker", "anna")
    assert again.stderr.startswith("1 clips")  # another selection, the same audio
    assert (
        "nothing has changed"
        in invoke("export", store.root, tmp_path / "x", "--for", "f5-tts", "--speaker", "anna").stderr
    )
