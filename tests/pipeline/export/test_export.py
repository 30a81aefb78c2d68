"""What an export does to DEST: once, again, after a change, after a kill, beside foreign files, and in a bucket."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from clean_corpus.pipeline.core.config import DEFAULT_S3
from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.corpus import versions
from clean_corpus.pipeline.export import audio, split
from clean_corpus.pipeline.export import export as exports
from clean_corpus.pipeline.export.config import ExportConfig
from clean_corpus.pipeline.export.destination import Destination, refuse_misplaced
from clean_corpus.pipeline.storage import open_store
from clean_corpus.pipeline.storage.local import LocalStore
from tests.support.corpora import Spoken, commit

BUCKET = "exports"
OWN = ("versions", "shards", "rejected", "ledgers", "embeddings", "report", "work", "fence", "decisions", "forgotten")
FIRST, SECOND = [Spoken("a-1", "one"), Spoken("a-2", "two")], [Spoken("b-1", "three", speaker="bob")]
MORE = [Spoken("c-1", "four", speaker="ann")]


def export(store, to, manifest=None, layout="vits", **settings):
    options = ExportConfig(**{"layout": layout} | settings)
    return exports.export(store, manifest or versions.latest(store), to, options, DEFAULT_S3)


def content(folder) -> dict[str, str]:
    """The hash of each file below a folder, but for hidden ones."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".export" not in path.parts
    }


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A store of three versions: two tars; a third tar more; the second tar gone."""
    store = LocalStore(tmp_path_factory.mktemp("grown"))
    for groups in ([FIRST, SECOND], [FIRST, SECOND, MORE], [FIRST, MORE]):
        commit(store, groups)
    return store


def test_a_second_export_does_nothing_and_mends_what_is_gone(grown, tmp_path):
    first = export(grown, tmp_path / "x")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "x").rglob("*") if path.is_file()}
    again = export(grown, tmp_path / "x")
    after = {path: path.stat().st_mtime_ns for path in before if ".export" not in path.parts}
    assert first.changed and not again.changed and again.card == first.card
    assert after.items() <= before.items()
    next((tmp_path / "x/wavs").iterdir()).unlink()
    assert export(grown, tmp_path / "x").changed
    (tmp_path / "x/filelists/val.txt").unlink()
    assert export(grown, tmp_path / "x").changed
    assert not export(grown, tmp_path / "x").changed


def test_a_later_version_adds_and_takes_away_and_leaves_the_rest_alone(grown, tmp_path, monkeypatch):
    done = []
    monkeypatch.setattr(exports, "write_unit", lambda *given: done.append(given[2].shard) or audio.write_unit(*given))
    one, two, three = (versions.read(grown, number) for number in (1, 2, 3))
    export(grown, tmp_path / "x", one)
    first = content(tmp_path / "x")
    (tmp_path / "x/wavs/cached.spec.pt").write_bytes(b"of a training")
    second = export(grown, tmp_path / "x", two)
    assert second.card["corpus"]["version"] == 2 and second.card["clips"]["clips"] == 4
    assert len(done) == 3, "the two tars that stayed were not read again"
    assert second.card["speaker_numbers"] == {"anna": 0, "bob": 1, "ann": 2}, (
        "numbers stay, whatever comes first by name"
    )
    third = export(grown, tmp_path / "x", three)
    left = content(tmp_path / "x")
    assert third.card["speaker_numbers"] == {"anna": 0, "ann": 2}
    assert {name for name in left if name.startswith("wavs/a-")} == {n for n in first if n.startswith("wavs/a-")}
    assert not any(name.startswith("wavs/b-") for name in left) and "wavs/cached.spec.pt" in left
    assert not list((tmp_path / "x/.export/done").iterdir())
    fresh = export(grown, tmp_path / "y", three)
    assert {n for n in content(tmp_path / "y") if n.endswith(".wav")} == {n for n in left if n.endswith(".wav")}
    assert fresh.card["sides"] == third.card["sides"]


def numbers_of(store, to, names, layout="vits"):
    """Export a version with a clip of each speaker; return the number of each by its own name, in its list."""
    commit(store, [[Spoken(f"c-{name.encode().hex()}", f"text of {name}", speaker=name) for name in names]])
    export(store, to, layout=layout, split="1")
    rows = [row.split("|") for row in (to / "filelists/train.txt").read_text().splitlines()]
    return {bytes.fromhex(Path(row[0]).name.split("-")[1]).decode(): int(row[1]) for row in rows}


def test_a_speaker_who_is_missing_once_has_the_same_number_again(tmp_path):
    store, to = LocalStore(tmp_path / "out"), tmp_path / "x"
    assert numbers_of(store, to, ["ann", "bob", "cid"]) == {"ann": 0, "bob": 1, "cid": 2}
    assert numbers_of(store, to, ["cid", "dan"]) == {"cid": 2, "dan": 3}
    assert '"n_speakers": 4' in (to / "README.md").read_text()
    assert numbers_of(store, to, ["ann"]) == {"ann": 0}, "one of four is still a column"
    assert '"n_speakers": 4' in (to / "README.md").read_text()
    assert numbers_of(store, to, ["bob", "dan", "eve"]) == {"bob": 1, "dan": 3, "eve": 4}


def test_a_number_belongs_to_a_name_and_not_to_how_it_is_written(tmp_path):
    store, to = LocalStore(tmp_path / "out"), tmp_path / "x"
    assert numbers_of(store, to, ["a|b", "c"]) == {"a|b": 0, "c": 1}
    assert numbers_of(store, to, ["a b", "a|b", "c"]) == {"a|b": 0, "c": 1, "a b": 2}
    assert json.loads((to / "card.json").read_text())["speaker_numbers"] == {"a b": 0, "c": 1, "a b 2": 2}
    assert numbers_of(store, to, ["a b", "|a b"]) == {"a b": 2, "|a b": 3}
    assert json.loads((to / "card.json").read_text())["speaker_numbers"] == {"a b 2": 2, "a b 3": 3}


def test_numbers_of_an_earlier_program_stay(tmp_path):
    store, to = LocalStore(tmp_path / "out"), tmp_path / "x"
    numbers_of(store, to, ["ann", "b|ob"])
    (to / ".export/speakers.json").write_text('{"numbers": {"b ob": 0, "ann": 1, "cid": 2}, "next": 5}')
    assert numbers_of(store, to, ["ann", "b|ob", "dan"]) == {"ann": 1, "b|ob": 0, "dan": 5}
    assert numbers_of(store, to, ["ann", "b|ob", "cid"]) == {"ann": 1, "b|ob": 0, "cid": 2}


def test_an_export_that_was_killed_goes_on_and_leaves_nothing_behind(grown, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def dying(source, target, unit, *rest):
        written = audio.write_unit(source, target, unit, *rest)
        if unit.shard == two.shards[1]:
            raise Killed  # its files are there, its record is not
        return written

    two = versions.read(grown, 2)
    with monkeypatch.context() as patch:
        patch.setattr(exports, "write_unit", dying)
        with pytest.raises(Killed):
            exports.export(grown, two, tmp_path / "x", ExportConfig(layout="vits"), DEFAULT_S3, threads=1)
    assert not (tmp_path / "x/card.json").exists() and not (tmp_path / "x/filelists").exists()
    (tmp_path / "x/.export/work/tmp/half.part").write_bytes(b"cut")
    again = []
    monkeypatch.setattr(exports, "write_unit", lambda *given: again.append(given[2].shard) or audio.write_unit(*given))
    # another version than before: what it does not name goes, though no export that ended ever named it
    export(grown, tmp_path / "x", versions.read(grown, 3))
    assert two.shards[0] not in again
    assert not any("b-1" in path.name for path in (tmp_path / "x").rglob("*.wav"))
    assert (
        not list((tmp_path / "x/.export/work/tmp").iterdir()) and not (tmp_path / "x/.export/pending.jsonl.gz").exists()
    )
    export(grown, tmp_path / "y", versions.read(grown, 3))
    paths = re.compile(rb"/[xy]/")
    lists = [paths.sub(b"", (tmp_path / name / "filelists/train.txt").read_bytes()) for name in "xy"]
    assert lists[0].splitlines()[0].split(b"|")[2] == lists[1].splitlines()[0].split(b"|")[2]


def test_a_reader_of_the_old_lists_finds_its_files_until_the_new_ones_are_there(grown, tmp_path, monkeypatch):
    export(grown, tmp_path / "x", versions.read(grown, 1))
    named = [line.split("|")[0] for line in (tmp_path / "x/filelists/train.txt").read_text().splitlines()]
    seen = []
    commit_ = Destination.commit
    monkeypatch.setattr(Destination, "commit", lambda *given: seen.append(all(map(_is_file, named))) or commit_(*given))
    export(grown, tmp_path / "x", versions.read(grown, 3))
    assert seen == [True] and not all(map(_is_file, named))


def _is_file(path: str) -> bool:
    from pathlib import Path

    return Path(path).is_file()


@pytest.mark.parametrize("at", ["folder", "bucket"])
def test_an_export_into_the_input_or_among_the_corpus_files_is_refused(at, grown, tmp_path):
    place = tmp_path if at == "folder" else S3Folder(BUCKET, "place")
    rec, out = place / "rec", place / "out"
    for to in (rec, rec / "x", rec / "x/y"):
        with pytest.raises(ConfigError, match=f"^DEST {to} lies in INPUT {rec}, whose next run would take the clips"):
            refuse_misplaced(to, rec, out)
    in_own = ((out / folder / "x", f"lies in {folder}/ of OUTPUT {out}") for folder in OWN)
    for to, words in ((out, f"holds OUTPUT {out}"), (place, f"holds OUTPUT {out}"), *in_own):
        with pytest.raises(ConfigError, match=f"^DEST {to} {words}, where .* choose another, such as {out}/export/N"):
            refuse_misplaced(to, rec, out)
    for to in (place / "rec2", out / "export/vits", out / "vits", place / "export"):
        refuse_misplaced(to, rec, out)
    refuse_misplaced(rec / "out/vits", rec, rec / "out")  # what lies in OUTPUT no run reads
    with pytest.raises(ConfigError, match="lies in INPUT"):
        refuse_misplaced(out / "rec/x", out / "rec", out)  # but for an INPUT in it
    refuse_misplaced(rec / "x", None, out)


def test_an_export_into_the_input_of_its_version_writes_nothing(grown, tmp_path):
    newest = versions.latest(grown)
    made = newest.model_copy(update={"run": newest.run | {"input": str(tmp_path)}})
    with pytest.raises(ConfigError, match=f"DEST {tmp_path}/x lies in INPUT {tmp_path}"):
        export(grown, tmp_path / "x", made)
    assert not (tmp_path / "x").exists()


def test_foreign_files_and_other_layouts_are_refused(grown, tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x/notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=f"^DEST {tmp_path}/x: holds notes.txt, which no export wrote; choose"):
        export(grown, tmp_path / "x")
    assert (tmp_path / "x/notes.txt").read_text() == "mine" and len(list((tmp_path / "x").iterdir())) == 1
    export(grown, tmp_path / "y")
    with pytest.raises(ConfigError, match=r"holds an export for vits, this one is for piper; choose another$"):
        export(grown, tmp_path / "y", layout="piper")
    with Destination(tmp_path / "y", DEFAULT_S3).locked("vits"), pytest.raises(ConfigError, match="another run"):
        export(grown, tmp_path / "y")


def test_wrong_settings_name_both_values_and_the_remedy(grown, tmp_path):
    low = LocalStore(tmp_path / "low")
    commit(low, [FIRST], sample_rate=16000)
    with pytest.raises(ConfigError, match=r"has 16000 Hz, piper takes 22050 Hz; .*--for piper .*--sample-rate 16000"):
        export(low, tmp_path / "x", layout="piper")
    assert export(low, tmp_path / "x", layout="piper", sample_rate=16000).card["sample_rate"] == 16000
    with pytest.raises(ConfigError, match=r"no kept clip of speaker 'bobb'; did you mean 'bob'\?; there are: ann, "):
        export(grown, tmp_path / "y", versions.read(grown, 2), speakers=("bobb",))
    words = r"gpt-sovits: 3 without language, which --language en gives, in a run --set export.language=en$"
    with pytest.raises(DataError, match=words):
        export(grown, tmp_path / "y", layout="gpt-sovits", sample_rate=24000)
    with pytest.raises(ConfigError, match="takes no spaces in paths; choose another, or set --prefix"):
        export(grown, tmp_path / "a b", layout="cosyvoice")
    with pytest.raises(ConfigError, match=r"a\|b: VITS splits lines at \|; choose another, or set --prefix"):
        export(grown, tmp_path / "a|b")
    textless = LocalStore(tmp_path / "textless")
    commit(textless, [[Spoken("a", None), Spoken("b", "yes", duration_s=0.3)]])
    with pytest.raises(DataError, match=r"no clip of version 1 can be exported for vits: 1 without text, 1 shorter"):
        export(textless, tmp_path / "y")
    assert not (tmp_path / "y").exists()


def test_clips_without_a_language_are_left_out_and_those_of_a_run_have_its_own(tmp_path):
    store = LocalStore(tmp_path / "out")
    group = [Spoken("a", "one", language="zh"), Spoken("b", "two"), Spoken("c", "three", language=" ")]
    manifest = commit(store, [group])
    done = export(store, tmp_path / "x", layout="gpt-sovits", sample_rate=24000)
    assert (done.card["clips"]["clips"], done.card["sides"].keys()) == (1, {"train"})
    why = "without language, which --language en gives, in a run --set export.language=en"
    assert done.card["left_out"][why]["clips"] == 2
    manifest.run["config"]["text"]["language"] = "en-GB"
    for given, expected in ((None, "en"), ("ja", "ja")):
        export(store, tmp_path / str(given), manifest, layout="gpt-sovits", sample_rate=24000, language=given)
        rows = (tmp_path / str(given) / "train.list").read_text().splitlines()
        assert [row.split("|")[2] for row in rows] == ["zh", expected, expected]


def test_a_damaged_tar_ends_the_export_and_is_named(grown, tmp_path):
    store = LocalStore(tmp_path / "damaged")
    manifest = commit(store, [FIRST])
    store.write(manifest.shards[0].key, b"x" * manifest.shards[0].size)
    with pytest.raises(DataError, match=manifest.shards[0].key):
        export(store, tmp_path / "x")


def test_the_card_says_what_lies_there(corpus, tmp_path):
    store, manifest = corpus
    done = export(store, tmp_path / "x", manifest, layout="hf", split="0.5/0.5")
    card = json.loads((tmp_path / "x/card.json").read_text())
    assert card == done.card
    assert (card["clips"]["clips"], card["sample_rate"], card["corpus"]["kept"]) == (7, 32000, 7)
    assert card["licences"]["CC0"]["clips"] == 6 and card["licences"]["not stated"]["clips"] == 1
    assert card["consent"]["signed"]["clips"] == 1 and card["text_sources"] == {"manifest": 6}
    assert card["corpus"] | {"settings": 0} == {
        "version": 1, "made": manifest.made, "ledger_sha256": manifest.ledger.sha256, "kept": 7, "enhancer": "none",
        "weights_sha256": "0" * 64, "upper_band": None, "upper_band_sha256": None, "settings": 0,
        "rulers": {"snr_db": "1"},
    }  # fmt: skip
    assert card["corpus"]["settings"]["gate"]["snr_db_min"] == 10.0
    assert sum(side["clips"] for side in card["sides"].values()) == 7 and list(card["sides"]) == ["train", "dev"]
    assert set(card["lists"]) < set(content(tmp_path / "x"))
    page = (tmp_path / "x/README.md").read_text()
    assert page.startswith("---\n") and "# 7 clips" in page and "| not stated | 1 |" in page


def test_one_text_is_on_one_side_and_nobody_moves_when_others_come():
    shares = split.parse_shares("0.6/0.2/0.2")
    texts = [f"sentence {i}" for i in range(400)]
    sides = {text: split.side(split.key_of_text(text), shares) for text in texts}
    counts = [list(sides.values()).count(side) for side in ("train", "dev", "test")]
    assert all(abs(count - expected) < 40 for count, expected in zip(counts, (240, 80, 80), strict=True))
    assert split.side(split.key_of_text("Sentence 3!"), shares) == sides["sentence 3"]
    wider = split.parse_shares("0.8/0.1/0.1")
    assert all(split.side(split.key_of_text(t), wider) == "train" for t, side in sides.items() if side == "train")


def test_speakers_may_be_kept_apart(tmp_path):
    store = LocalStore(tmp_path / "out")
    commit(store, [[Spoken(f"{s}-{i}", f"text {i}", speaker=s) for s in "pqrstu" for i in range(3)]])
    export(store, tmp_path / "x", layout="nemo", split="0.5/0.5", split_by="speaker")
    sides = [
        {json.loads(line)["speaker"] for line in (tmp_path / f"x/{side}_manifest.json").read_text().splitlines()}
        for side in ("train", "dev")
    ]
    assert sides[0] | sides[1] == set("pqrstu") and not sides[0] & sides[1] and all(sides)


@pytest.mark.parametrize("text", ["", "a/b", "0.5/0.4", "1.2/-0.2", "0/1", "0.25/0.25/0.25/0.25"])
def test_shares_that_cannot_be_are_refused(text):
    with pytest.raises(ValueError, match="expected the shares of train/dev/test"):
        split.parse_shares(text)


def test_from_bucket_to_bucket(client, grown, tmp_path):
    source, to = open_store(S3Folder(BUCKET, "out"), DEFAULT_S3), S3Folder(BUCKET, "voices/x")
    for groups in ([FIRST, SECOND], [FIRST, MORE]):
        commit(source, groups)
    lhotse = export(source, S3Folder(BUCKET, "cuts"), layout="lhotse")
    assert lhotse.card["clips"]["clips"] == 3
    export(source, to, versions.read(source, 1))
    assert export(source, to, versions.read(source, 1)).changed is False
    export(source, to)
    keys = [entry["Key"] for entry in client.list_objects_v2(Bucket=BUCKET, Prefix="voices/x/")["Contents"]]
    local = [export(grown, tmp_path / "x", versions.read(grown, number)) for number in (1, 3)][-1]
    visible = {key.removeprefix("voices/x/") for key in keys if "/.export/" not in key}
    assert visible == set(content(tmp_path / "x"))
    listed = client.get_object(Bucket=BUCKET, Key="voices/x/filelists/train.txt")["Body"].read().decode()
    assert listed == (tmp_path / "x/filelists/train.txt").read_text().replace(f"{tmp_path}/x/", "")
    assert (
        local.card["sides"]
        == json.loads(client.get_object(Bucket=BUCKET, Key="voices/x/card.json")["Body"].read())["sides"]
    )
    client.put_object(Bucket=BUCKET, Key="taken/a.txt", Body=b"x")
    with pytest.raises(ConfigError, match=r"^DEST s3://exports/taken: holds a.txt, which no export wrote"):
        export(source, S3Folder(BUCKET, "taken"))
