"""Each layout as its reader documents it: columns, texts, rate, lengths; read by that reader where it is installed."""

import csv
import gzip
import importlib.util
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from clean_corpus.flows.cli.options import LAYOUTS as NAMED
from clean_corpus.pipeline.audio import decode
from clean_corpus.pipeline.core.config import DEFAULT_S3
from clean_corpus.pipeline.corpus import shards
from clean_corpus.pipeline.export.config import ExportConfig
from clean_corpus.pipeline.export.export import export
from clean_corpus.pipeline.export.layouts import LAYOUTS
from clean_corpus.pipeline.storage.local import LocalStore
from tests.support.corpora import Spoken, commit

GO, BAR, LINES, NONE, FINE = 'He said "go", and went.', '"Quoted" first | bar', "Zwei Zeilen", "None", "it's fine"
NO_BAR = '"Quoted" first bar'


def lines(path: Path) -> list[list[str]]:
    return [line.split("|") for line in path.read_text().splitlines()]


def table(path: Path) -> list[list[str]]:
    with path.open(newline="") as file:
        return list(csv.reader(file, delimiter="|"))


def clip(path: str) -> str:
    """The clip's name in that of its file, which ends with a tag of eight digits."""
    stem = Path(path).stem
    assert len(stem.rpartition("-")[2]) == 8
    return stem.rpartition("-")[0]


@pytest.fixture(scope="module")
def published(corpus) -> dict[str, float]:
    """The level of each kept clip in the corpus."""
    store, manifest = corpus
    samples = (sample for shard in manifest.shards for sample in shards.read_shard(store, shard))
    return {sample["__key__"]: float(np.std(decode.decode(sample["flac"])[0])) for sample in samples}


def test_help_names_every_layout():
    assert NAMED.split(", ") == list(LAYOUTS)


def test_each_layout_names_its_source_and_the_start_of_a_training():
    for layout in LAYOUTS.values():
        assert ":" in layout.source or "/" in layout.source
        assert "{dest}" in layout.start


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "gpt-sovits"])
def test_audio_has_the_readers_rate_and_no_clip_is_beyond_its_lengths(exported, published, name):
    folder, done = exported(name)
    layout = LAYOUTS[name]
    files = [*folder.rglob("*.wav"), *folder.rglob("*.flac")]
    infos = [soundfile.info(str(path)) for path in files]
    assert {(info.samplerate, info.channels, info.subtype) for info in infos} <= {
        (layout.sample_rate or 32000, 1, "PCM_16")
    }
    assert len(files) == (0 if name == "lhotse-shar" else done.card["clips"]["clips"])
    least_s, most_s = layout.limits_s(layout.sample_rate)
    assert all((least_s or 0) <= info.duration <= (most_s or 99) for info in infos)
    left_out = sum(found["clips"] for found in done.card["left_out"].values())
    assert done.card["clips"]["clips"] + left_out == 7  # of eight clips, one is rejected
    for path in files:  # the level is that of the corpus
        assert np.std(soundfile.read(path)[0]) == pytest.approx(published[clip(path.name)], rel=0.002)


def test_piper_has_a_column_for_speakers_if_there_are_several(exported):
    folder, done = exported("piper")
    rows = table(folder / "metadata.csv")
    assert [(clip(path), *rest) for path, *rest in rows] == [
        ("a-1", "anna", GO), ("a-2", "anna", BAR), ("b-1", "b ob", LINES), ("b-2", "19", NONE),
        ("b-4", "unknown", FINE),
    ]  # fmt: skip
    assert all((folder / path).is_file() for path, *_ in rows)
    assert done.card["left_out"] == {
        "without text": {"clips": 1, "hours": 0.0003}, "shorter than 0.5 s": {"clips": 1, "hours": 0.0001}
    }  # fmt: skip
    folder, _ = exported("piper", speakers=("anna",))
    assert [row[1:] for row in table(folder / "metadata.csv")] == [[GO], [BAR]]


@pytest.mark.parametrize(
    ("name", "several"),
    [
        ("piper", "--data.espeak_voice VOICE --model.num_speakers 4 ..."),
        ("vits", '"sampling_rate": 22050, "n_speakers": 4`'),
        ("styletts2", '/wavs", multispeaker: true`'),
        ("nemo", "/speakers.json, n_speakers: 4`"),
    ],
)
def test_the_start_of_a_training_says_that_there_are_several_speakers(exported, name, several):
    folder, _ = exported(name)
    assert several in (folder / "README.md").read_text()
    folder, _ = exported(name, speakers=("anna",))
    assert not {"num_speakers", "n_speakers", "multispeaker"} & set(
        re.findall(r"\w+", (folder / "README.md").read_text())
    )


@pytest.mark.parametrize(
    ("spoken", "named", "remarks"),
    [
        (("nl", "nl-BE", None), "nl", []),
        (("zh-TW",), "zh-cn", []),
        ((None,), "LANGUAGE", []),
        (
            ("eng", "en", "nl"),
            "LANGUAGE",
            ["2 languages are in one list, whose reader takes them for one: en, nl"],
        ),
    ],
)
def test_xtts_is_told_the_language_of_the_clips(tmp_path, spoken, named, remarks):
    store = LocalStore(tmp_path / "corpus")
    group = [Spoken(f"c-{i}", f"text {i}", language=language) for i, language in enumerate(spoken)]
    options = ExportConfig(layout="xtts", split="1")
    done = export(store, commit(store, [group]), tmp_path / "x", options, DEFAULT_S3)
    page = (tmp_path / "x/README.md").read_text()
    assert f'language="{named}")' in page and all(remark in page for remark in done.remarks)
    assert [remark.partition("; ")[0] for remark in done.remarks] == remarks


def test_f5_tts_has_a_header_and_whole_paths(exported):
    folder, _ = exported("f5-tts")
    head, *rows = table(folder / "metadata.csv")
    assert head == ["audio_file", "text"] and [row[1] for row in rows][:3] == [GO, BAR, LINES]
    assert all(Path(path).is_absolute() and Path(path).is_file() for path, _ in rows)
    folder, _ = exported("f5-tts", prefix="/data/voice/")
    assert table(folder / "metadata.csv")[1][0].startswith("/data/voice/wavs/a-1-")


def test_xtts_has_no_text_that_pandas_takes_for_none(exported):
    folder, done = exported("xtts", split="0.5/0.5")
    train, dev = (table(folder / f"metadata_{side}.csv") for side in ("train", "eval"))
    assert train[0] == dev[0] == ["audio_file", "text", "speaker_name"]
    assert {row[1] for row in train[1:] + dev[1:]} == {GO, BAR, LINES, FINE}
    assert done.card["left_out"]["text that the reader takes for a missing value"]["clips"] == 1


def test_speakers_whom_a_prefix_would_merge_stay_apart(tmp_path):
    store, names = (
        LocalStore(tmp_path / "corpus"),
        ["19", "None", "speaker", "speaker 19", "speaker None", "|19", "a|b"],
    )
    group = [Spoken(f"c-{i}", f"text {i}", speaker=name) for i, name in enumerate([*names, "Infinity", "speaker 19 2"])]
    manifest = commit(store, [group])
    export(store, manifest, tmp_path / "x", ExportConfig(layout="xtts", split="1"), DEFAULT_S3)
    written = [row[2] for row in table(tmp_path / "x/metadata_train.csv")[1:]]
    assert len(set(written)) == len(group)
    assert not {"19", "None", "Infinity"} & set(written), "pandas would read a number or a missing value"


@pytest.mark.parametrize("name", ["piper", "vits", "xtts", "kaldi", "nemo"])
def test_a_speaker_is_not_merged_with_clips_that_have_none(tmp_path, name):
    store = LocalStore(tmp_path / "corpus")
    group = [Spoken("c-1", "one", speaker="unknown|"), Spoken("c-2", "two", speaker=None)]
    done = export(
        store, commit(store, [group]), tmp_path / "x", ExportConfig(layout=name, split="1"), DEFAULT_S3
    )  # fmt: skip
    assert done.card["speaker_numbers"].keys() == {"unknown", "unknown_2" if name == "kaldi" else "unknown 2"}
    assert {speaker: found["clips"] for speaker, found in done.card["speakers"].items()} == dict.fromkeys(
        done.card["speaker_numbers"], 1
    )


def test_lj_speech_has_three_columns_without_quotes(exported):
    folder, done = exported("ljspeech")
    rows = lines(folder / "metadata.csv")
    assert [row[1:] for row in rows][:3] == [[GO, GO], [NO_BAR, NO_BAR], [LINES, LINES]]
    assert all((folder / "wavs" / f"{row[0]}.wav").is_file() for row in rows)
    assert done.card["texts_without_separator"] == 1
    assert done.remarks == [
        "4 speakers are in one list, which does not tell them apart; --speaker takes one",
        "2 languages are in one list, whose reader takes them for one: de, en; --speaker takes the speakers of one",
    ]


def test_vits_numbers_speakers_and_takes_no_long_text(exported, monkeypatch):
    folder, _ = exported("vits")
    rows = lines(folder / "filelists/train.txt")
    assert [(clip(path), *rest) for path, *rest in rows] == [
        ("a-1", "1", GO), ("a-2", "1", NO_BAR), ("b-1", "2", LINES), ("b-2", "0", NONE), ("b-3", "3", "short"),
        ("b-4", "3", FINE),
    ]  # fmt: skip
    assert all(Path(row[0]).is_file() for row in rows)
    folder, _ = exported("vits", speakers=("anna",))
    assert [row[1:] for row in lines(folder / "filelists/train.txt")] == [[GO], [NO_BAR]]


def _vits_keeps(path: str) -> bool:
    """Whether VITS' DistributedBucketSampler keeps a clip: data_utils.py, boundaries of train_ms.py."""
    return 32 < Path(path).stat().st_size // (2 * 256) <= 1000


@pytest.mark.parametrize("sample_rate", [8000, 22050, 48000])
def test_vits_gets_the_lengths_that_it_takes_at_any_rate(tmp_path, sample_rate):
    store = LocalStore(tmp_path / "corpus")
    lengths_s = (0.17, 0.18, 0.3822, 0.386, 1.05, 5.3, 5.4, 11.6, 32.5)
    group = [Spoken(f"c-{i}", f"text {i}", duration_s=length) for i, length in enumerate(lengths_s)]
    options = ExportConfig(layout="vits", split="1", sample_rate=sample_rate)
    done = export(store, commit(store, [group], sample_rate=48000), tmp_path / "x", options, DEFAULT_S3)
    rows = lines(tmp_path / "x/filelists/train.txt")
    assert all(_vits_keeps(row[0]) for row in rows)
    taken = [length for length in lengths_s if 33 * 256 <= length * sample_rate <= 1000 * 256]
    assert [round(soundfile.info(row[0]).duration, 2) for row in rows] == [round(length, 2) for length in taken]
    assert sum(found["clips"] for found in done.card["left_out"].values()) == len(lengths_s) - len(rows)


def test_styletts2_has_three_columns_and_says_that_it_wants_phonemes(exported):
    folder, done = exported("styletts2", speakers=("anna",))
    rows = lines(folder / "train_list.txt")
    assert [row[1:] for row in rows] == [[GO, "0"], [NO_BAR, "0"]]
    assert all((folder / "wavs" / row[0]).is_file() for row in rows)
    assert done.remarks[0] in (folder / "README.md").read_text() and "IPA phonemes" in done.remarks[0]


def test_gpt_sovits_has_a_language_a_clip(exported):
    folder, done = exported("gpt-sovits")
    rows = lines(folder / "train.list")
    assert {len(row) for row in rows} == {4} and done.card["sample_rate"] == 32000
    assert [row[1:] for row in rows][1:3] == [["anna", "en", NO_BAR], ["19", "en", NONE]]


def test_gpt_sovits_gets_languages_as_its_reader_knows_them(tmp_path):
    store, said = LocalStore(tmp_path / "corpus"), {"en": "en", "en-US": "en", "en_GB": "en", "eng": "en"}
    said |= {"English": "en", "EN": "en", "zh-CN": "zh", "JP": "ja", "ko_KR.UTF-8": "ko", "yue-HK": "yue"}
    names = [*said, "nl", "n|l"]
    group = [Spoken(f"c-{i:02}", f"text {i}", language=name) for i, name in enumerate(names)]
    manifest = commit(store, [group], sample_rate=32000)
    done = export(store, manifest, tmp_path / "x", ExportConfig(layout="gpt-sovits"), DEFAULT_S3)
    assert [row[2] for row in lines(tmp_path / "x/train.list")] == list(said.values())
    left_out = {why: found["clips"] for why, found in done.card["left_out"].items()}
    assert left_out == {
        f"in language {name}, GPT-SoVITS takes en, ja, ko, yue, zh": 1 for name in ("nl", "n|l")
    }  # fmt: skip


@pytest.mark.parametrize("name", ["kaldi", "cosyvoice"])
def test_data_folders_are_sorted_and_agree(exported, name):
    folder, _ = exported(name)
    read = {}
    for kind in ("wav.scp", "text", "utt2spk", "spk2utt"):
        rows = [line.split(" ", 1) for line in (folder / "train" / kind).read_text().splitlines()]
        assert rows == sorted(rows, key=lambda row: row[0].encode())
        read[kind] = dict(rows)
    assert read["wav.scp"].keys() == read["text"].keys() == read["utt2spk"].keys()
    by_speaker = sorted(read["utt2spk"].items(), key=lambda item: (item[1].encode(), item[0].encode()))
    assert by_speaker == list(read["utt2spk"].items())
    assert {u: s for s, us in read["spk2utt"].items() for u in us.split()} == read["utt2spk"]
    assert read["text"]["b_ob-b-1"] == LINES and read["utt2spk"]["unknown-b-4"] == "unknown"
    assert all(Path(path).is_file() for path in read["wav.scp"].values())
    if name == "kaldi":
        assert "19-b-2 2.500000" in (folder / "train/utt2dur").read_text().splitlines()


def test_nemo_has_one_object_a_line(exported):
    folder, _ = exported("nemo")
    rows = [json.loads(line) for line in (folder / "train_manifest.json").read_text().splitlines()]
    assert rows[2] | {"audio_filepath": ""} == {
        "audio_filepath": "", "text": LINES, "duration": 1.25, "speaker": "b ob", "lang": "de"
    }  # fmt: skip
    assert json.loads((folder / "speakers.json").read_text()).keys() == {row["speaker"] for row in rows}
    assert all(Path(row["audio_filepath"]).is_file() for row in rows)


# ---- the readers themselves ------------------------------------------------------------------------------------


def test_lhotse_reads_the_cuts_and_the_shar(exported):
    lhotse = pytest.importorskip("lhotse")
    folder, done = exported("lhotse", split="0.5/0.25/0.25")
    sides = list(done.card["sides"])
    assert len(sides) > 1
    for side in sides:
        cuts = lhotse.CutSet.from_file(folder / f"cuts_{side}.jsonl.gz").to_eager()
        lhotse.validate(cuts, read_data=True)
        shar = {cut.id: cut for cut in lhotse.CutSet.from_shar(in_dir=folder / "shar" / side)}
        assert sorted(shar) == sorted(cut.id for cut in cuts) and len(shar)
        for cut in cuts:
            assert (cut.load_audio() == shar[cut.id].load_audio()).all() and cut.num_samples == cut.load_audio().size
            assert cut.supervisions[0].to_dict() == shar[cut.id].supervisions[0].to_dict()
    (bob,) = (cut for side in sides for cut in _cuts(folder, side) if cut["id"] == "b-1")
    said = bob["supervisions"][0]
    assert (said["text"], said["speaker"], said["language"], said["custom"]) == (
        LINES,
        "b ob",
        "de",
        {"licence": "CC0"},
    )


def _cuts(folder: Path, side: str) -> list[dict]:
    with gzip.open(folder / f"cuts_{side}.jsonl.gz", "rt") as file:
        return [json.loads(line) for line in file]


def test_datasets_loads_the_folder_with_its_splits(exported, tmp_path, monkeypatch):
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets")
    for name in ("torchcodec", "torchcodec.encoders"):  # imported, and not used for files that are there
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(AudioEncoder=None))
    folder, done = exported("hf", split="0.5/0.25/0.25")
    found = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    assert {split: len(rows) for split, rows in found.items()} == {
        {"dev": "validation"}.get(side, side): counted["clips"] for side, counted in done.card["sides"].items()
    }
    rows = [row for part in found.cast_column("audio", datasets.Audio(decode=False)).values() for row in part]
    by_id = {row["id"]: row for row in rows}
    assert (by_id["a-2"]["text"], by_id["a-2"]["consent"], by_id["a-3"]["text"]) == (BAR, "signed", None)
    assert all(soundfile.info(row["audio"]["path"]).duration == row["duration"] for row in rows)


def reader(package: str, path: str):
    """A file of an installed reader, run without what its package imports; skipped where it is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        pytest.skip(f"{package} is not installed")
    file = Path(spec.submodule_search_locations[0], path)
    found = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_piper_trains_on_the_table(exported, tmp_path):
    dataset = pytest.importorskip("piper.train.vits.dataset")
    folder, _ = exported("piper")
    data = dataset.VitsDataModule(
        folder / "metadata.csv", tmp_path / "cache", "en-us", tmp_path / "config.json", "voice", num_speakers=4,
        validation_split=0.2, num_test_examples=1,
    )  # fmt: skip
    data.prepare_data()
    data.setup("fit")
    assert data.piper_config.speaker_id_map == {"anna": 0, "b ob": 1, "19": 2, "unknown": 3}
    everything = data.train_dataset.dataset
    assert [utterance.text for utterance in everything.utts] == [GO, BAR, LINES, NONE, FINE]
    assert len(data.train_dataset) and everything[0].audio_norm.numel() and len(everything[0].phoneme_ids)


def test_coqui_formatters_read_the_tables(exported):
    formatters = reader("TTS", "tts/datasets/formatters.py")
    folder, _ = exported("xtts")
    items = formatters.coqui(str(folder), "metadata_train.csv")
    assert [(item["text"], item["speaker_name"]) for item in items] == [
        (GO, "anna"), (BAR, "anna"), (LINES, "b ob"), (FINE, "unknown")
    ]  # fmt: skip
    folder, _ = exported("ljspeech")
    items = formatters.ljspeech(str(folder), "metadata.csv")
    assert items[1]["text"].strip() == NO_BAR and all(Path(item["audio_file"]).is_file() for item in items)
