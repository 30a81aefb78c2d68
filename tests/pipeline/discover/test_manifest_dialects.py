"""Tables and JSON lines as people and programs write them: each gives its texts, or says in words why not."""

import gzip
import json
from pathlib import Path

import pytest

from clean_corpus.pipeline.core.config import DEFAULT_MANIFEST, ManifestConfig
from clean_corpus.pipeline.core.types import Metadata, Recording
from clean_corpus.pipeline.discover import find_all


def audio(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"audio")


def rows(root: Path, config: ManifestConfig = DEFAULT_MANIFEST) -> dict[str, Recording]:
    return {recording.path: recording for recording in find_all(root, exclude=None, manifest=config)}


def told(root: Path, config: ManifestConfig = DEFAULT_MANIFEST) -> dict[str, tuple[str | None, str | None]]:
    """Text and speaker of each recording; there must be no row with an error."""
    found = rows(root, config)
    assert not [row.error for row in found.values() if row.error]
    return {path: (row.metadata.text, row.metadata.speaker) for path, row in found.items()}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metadata.csv", "audio_file|text|speaker_name\n{a}|one|ann\n{b}|two|bob\n"),
        ("metadata.csv", "\ufeffaudio_file|text|speaker_name\r\n{a}|one|ann\r\n{b}|two|bob\r\n"),
        ("metadata.csv", "speaker,file_name,transcription\nann,{a},one\nbob,{b},two\n"),
        ("metadata.csv", "Speaker;File Name;Text\nann;{a};one\nbob;{b};two\n"),
        ("metadata.csv", '"file_name","text","speaker"\n"{a}","one","ann"\n"{b}","two","bob"\n'),
        ("metadata.csv", '"file_name"|"text"|"speaker"\n"{a}"|"one"|"ann"\n"{b}"|"two"|"bob"\n'),
        ("metadata.csv", "id|speaker|normalized_text|text\na|ann|one|1\nb|bob|two|2\n"),
        ("metadata.csv", "id|speaker|normalized_text|text\na|ann||one\nb|bob|two|2\n"),
        ("validated.tsv", "client_id\tpath\tsentence\tup_votes\nann\t{a}\tone\t2\nbob\t{b}\ttwo\t2\n"),
        ("train.csv", "wav_filename,wav_filesize,transcript,speaker\n{a},5,one,ann\n{b},5,two,bob\n"),
        ("metadata.csv", 'file_name|text|speaker\n"{a}"|"one"|"ann"\n{b}|two|bob\n'),
        ("Metadata.CSV", "PATH|TEXT|SPEAKER\n{a}|one|ann\n{b}|two|bob\n"),
        ("metadata.jsonl", '{{"file_name": "{a}", "transcription": "one", "speaker_id": "ann"}}\n'
         '{{"file_name": "{b}", "text": "two", "speaker": "bob"}}\n'),
        ("train.json", '{{"audio_filepath": "{a}", "text": "one", "speaker": "ann"}}\n'
         '{{"audio_filepath": "{b}", "text": "two", "speaker": "bob"}}\n'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("packed", [False, True])
def test_columns_by_name(name, content, packed, tmp_path):
    audio(tmp_path, "a.wav", "b.flac")
    data = content.format(a="a.wav", b="b.flac").encode()
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(data, mtime=0) if packed else data)
    assert told(tmp_path) == {"a.wav": ("one", "ann"), "b.flac": ("two", "bob")}


def test_quotes_are_the_writers_or_the_texts(tmp_path):
    audio(tmp_path, *(f"{name}.wav" for name in "abcde"))
    comma = 'file_name,text\na.wav,"one, two"\nb.wav,"say ""hi"""\nc.wav,"first\nsecond"\nd.wav,it is 5" long\n'
    (tmp_path / "metadata.csv").write_text(comma)
    (tmp_path / "z.tsv").write_text('path\tsentence\ne.wav\t"Hello," she said.\n')
    texts = {path: text for path, (text, _) in told(tmp_path).items()}
    assert texts == {
        "a.wav": "one, two",
        "b.wav": 'say "hi"',
        "c.wav": "first\nsecond",
        "d.wav": 'it is 5" long',
        "e.wav": '"Hello," she said.',
    }


def test_quotes_of_ljspeech_are_text(tmp_path):
    audio(tmp_path, "a.wav", "b.wav")
    (tmp_path / "metadata.csv").write_text('a|"Hello."|"Hello."\nb|"open\n')
    assert told(tmp_path) == {"a.wav": ('"Hello."', None), "b.wav": ('"open', None)}


def test_a_quote_that_is_never_closed_costs_its_line(tmp_path):
    audio(tmp_path, *(f"{i}.wav" for i in range(80)))
    lines = [f"{i}.wav,text {i}" for i in range(80)]
    lines[3] = '3.wav,"text'
    (tmp_path / "metadata.csv").write_text("\n".join(["path,text", *lines]))
    found = rows(tmp_path)
    assert [path for path, row in found.items() if row.error] == ["metadata.csv:5"]
    assert "line 5: a quote that begins a column is never closed" in found["metadata.csv:5"].error
    assert found["79.wav"].metadata.text == "text 79" and found["4.wav"].metadata.text == "text 4"


@pytest.mark.parametrize("content", ['[{"audio_filepath": "a.wav"}]', '[\n{"audio_filepath": "a.wav"},\n{}\n]'])
def test_a_json_list_is_meant_as_a_manifest_and_says_so(content, tmp_path):
    audio(tmp_path, "a.wav")
    (tmp_path / "train.json").write_text(content)
    error = rows(tmp_path)["train.json"].error
    assert error.startswith("malformed manifest: train.json line 1: expected ")


@pytest.mark.parametrize(
    "content",
    [
        "a|ann|hello there\nb|ann|good bye\n",
        "a|hello there|ann\nb|good bye|ann\n",
        "a|Hello there, my friend.|ann\nb|And good bye to you all.|bob\n",
        "a|ann|\nb|ann|good bye\n",
    ],
)
def test_three_columns_that_are_not_surely_ljspeech_are_refused(content, tmp_path):
    audio(tmp_path, "a.wav", "b.wav")
    (tmp_path / "metadata.csv").write_text(content)
    found = rows(tmp_path)
    assert sorted(found) == ["a.wav", "b.wav", "metadata.csv"]
    assert {found[name].metadata for name in ("a.wav", "b.wav")} == {Metadata()}
    for words in ("malformed manifest: metadata.csv: three columns", "speaker", "add a header", "manifest.columns"):
        assert words in found["metadata.csv"].error


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("a|Dr. Who|Doctor Who\nb|Dr. No|Doctor No\n", "Doctor Who"),
        ("a|5|five\nb|5|five\n", "five"),
        ("a|one|\nb|one|\n", "one"),
        ("a|Yes.|yes\nb|Yes!|yes\n", "yes"),
        ("a|hello|HH AH L OW\nb|hello|HH AH L OW\n", "HH AH L OW"),
        ("a|one\nb|one\n", "one"),
    ],
)
def test_ljspeech_without_a_header_stays_what_it_was(content, text, tmp_path):
    audio(tmp_path, "wavs/a.wav", "wavs/b.wav")
    (tmp_path / "metadata.csv").write_text(content)
    assert told(tmp_path)["wavs/a.wav"] == (text, None)


@pytest.mark.parametrize(
    ("settings", "content"),
    [
        ({"columns": "audio|speaker|text"}, "a|ann|hello\nb|ann|good bye\n"),
        ({"columns": "id|text|speaker"}, "a|hello|ann\nb|good bye|ann\n"),
        ({"columns": "id|text|speaker"}, "a|hello|ann\nb|good bye|ann\n"),
        ({"columns": "_|audio|speaker|text"}, "1\ta.wav\tann\thello\n2\tb.wav\tann\tgood bye\n"),
        ({"columns": "audio|text|speaker", "separator": ","}, 'a,"hello",ann\nb,good bye,ann\n'),
        ({"columns": "path|speaker|text"}, "file|text|speaker\na|ann|hello\nb|ann|good bye\n"),
        ({"columns": "audio|text|speaker", "encoding": "utf-16-le"}, "a|hello|ann\nb|good bye|ann\n"),
    ],
)
def test_declared_columns(settings, content, tmp_path):
    audio(tmp_path, "a.wav", "b.wav")
    (tmp_path / "metadata.csv").write_bytes(content.encode(settings.get("encoding", "utf-8")))
    found = told(tmp_path, ManifestConfig(**settings))
    assert found == {"a.wav": ("hello", "ann"), "b.wav": ("good bye", "ann")}


def test_declared_names_of_tables(tmp_path):
    audio(tmp_path, "wavs/a.wav", "b.wav")
    (tmp_path / "train_filelist.txt").write_text("wavs/a.wav|7|hello\n")
    (tmp_path / "b.txt").write_text("bee")
    config = ManifestConfig(columns="audio|speaker|text", files="*filelist*.txt")
    assert told(tmp_path, config) == {"wavs/a.wav": ("hello", "7"), "b.wav": ("bee", None)}


def test_a_declared_name_with_brackets_is_that_of_its_table(tmp_path):
    audio(tmp_path, "a.wav")
    (tmp_path / "list [new].txt").write_text("a.wav|7|hello\n")
    config = ManifestConfig(columns="audio|speaker|text", files="list [new].txt")
    assert told(tmp_path, config) == {"a.wav": ("hello", "7")}


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("audio|text\na|one\nb\n", 3, "1 columns, the header has 2 (audio|text)"),
        ("audio,text\na,one\nb,two, and three\n", 3, "3 columns, the header has 2 (audio,text)"),
        ("audio|text\na|one\n|two\n", 3, "no name of a recording in column 'audio'"),
        ("audio|text\na|one\nb|\n", 3, "nothing is said of 'b'"),
        ("a|one\nb|two|zwei|ann\n", 2, "4 columns, and no header says what they are"),
        ("a|one\nno bar\n", 2, "expected id|text, got 'no bar'"),
        ("a|one\nhttps://example.org/b.wav|two\n", 2, "is an address; only files of INPUT are read"),
        ("a|one\nfile://elsewhere/b.wav|two\n", 2, "is on another machine"),
        ("a|one\ns3://bucket/b.wav|two\n", 2, "is not below INPUT"),
    ],
)
def test_a_line_that_comes_to_nothing_has_a_row(content, line, words, tmp_path):
    audio(tmp_path, "a.wav", "b.wav")
    (tmp_path / "metadata.csv").write_text(content)
    found = rows(tmp_path)
    assert sorted(found) == ["a.wav", "b.wav", f"metadata.csv:{line}"]
    assert found["a.wav"].metadata.text == "one" and found["b.wav"].metadata == Metadata()
    error = found[f"metadata.csv:{line}"].error
    assert error.startswith(f"malformed manifest: metadata.csv line {line}: ") and words in error


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("file|utterance\na|one\n", "no column of text or speaker that is known"),
        ("audio|path|text\na|a.wav|one\n", "columns 'audio' and 'path' both mean audio"),
        ("audio|text|sentence\na|one|two\n", "columns 'text' and 'sentence' both mean text"),
        ("audio|text\n", None),
    ],
)
def test_a_header_is_no_recording(content, words, tmp_path):
    audio(tmp_path, "a.wav")
    (tmp_path / "metadata.csv").write_text(content)
    found = rows(tmp_path)
    assert sorted(found) == (["a.wav"] if words is None else ["a.wav", "metadata.csv"])
    assert words is None or words in found["metadata.csv"].error


def test_what_is_no_manifest_stays_what_it_is(tmp_path):
    audio(tmp_path, "a.wav")
    (tmp_path / "prices.csv").write_text('id,text,price\n1,bread,2\n,milk,3\n2,http://a.wav,3\n"2,milk,3\n')
    (tmp_path / "durations.tsv").write_text("clip\tduration[ms]\na.wav\t5\n")
    (tmp_path / "settings.json").write_text('{"audio": true}\n')
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "empty.csv").write_text("")
    found = rows(tmp_path)
    assert sorted(found) == ["a.wav", "durations.tsv", "empty.csv", "list.json", "prices.csv", "settings.json"]
    assert not any(row.error for row in found.values()), "as before: they fail when they are decoded"


def test_a_table_of_ids_that_name_other_files_stays_what_it_is(tmp_path):
    audio(tmp_path, "a.wav")
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "rooms.csv").write_text("id,text\nrooms,one\nrooms.csv,two\na.txt,three\n")
    found = rows(tmp_path)
    assert sorted(found) == ["a.wav", "rooms.csv"] and not any(row.error for row in found.values())


@pytest.mark.parametrize(
    ("recording", "table", "content", "others"),
    [
        ("wavs/u1.wav", "texts.csv", "utt_id;text\nu1;hello\n", []),
        ("audio/u1.wav", "texts.csv", "id,text\nu1,hello\n", []),
        ("clips/u1.wav", "texts.tsv", "id\ttext\nu1.mp3\thello\n", []),
        ("set/u1.wav", "meta/texts.csv", "id,text\nset/u1,hello\n", []),
        ("u1.wav", "texts.csv", "id,text\ngone,bye\nu1,hello\n", ["gone"]),
        ("u1.wav", "texts.csv", "id,text\n,bye\nhttp://u1,bye\nu1,hello\n", ["texts.csv:2", "texts.csv:3"]),
        ("u1.wav", "texts.csv", 'id,text\n"gone","bye\nbye"\nu1,hello\n', ["gone"]),
        ("u1.wav", "texts.csv", 'id,text\nu1,"hel\nlo"\n', []),
        ("001.wav", "texts.csv", "id,text\n0,bye\n001,hello\n", ["0"]),
        ("u1.wav", "texts.csv", "id,text\n" + 3000 * "gone,bye\n" + "u1,hello\n", ["gone"]),
    ],
)
def test_ids_in_another_table_than_metadata_csv(recording, table, content, others, tmp_path):
    """It is a manifest by any row that names a recording where one is looked for; what came to nothing is said once."""
    audio(tmp_path, recording)
    (tmp_path / table).parent.mkdir(exist_ok=True)
    (tmp_path / table).write_text(content)
    found = rows(tmp_path)
    assert found[recording].metadata.text.replace("\n", "") == "hello"
    assert sorted(found.keys() - {recording}) == others


def test_a_table_given_as_input_is_read_whatever_it_is(tmp_path):
    audio(tmp_path, "a.wav", "b.wav")
    (tmp_path / "list.csv").write_text("a|one\n")
    [recording] = find_all(tmp_path / "list.csv", exclude=None)
    assert (recording.path, recording.metadata.text) == ("a.wav", "one")


def test_json_rows_with_the_same_file_twice(tmp_path):
    audio(tmp_path, "a.wav", "b.wav", "c.wav")
    lines = [
        {"audio_filepath": "a.wav", "text": "one"},
        {"audio_filepath": "a.wav", "text": "two"},
        {"audio_filepath": "b.wav", "text": "same"},
        {"audio_filepath": "b.wav", "text": "same", "speaker": "ann"},
        {"audio_filepath": "c.wav", "text": "second", "offset": 2.0},
        {"audio_filepath": "c.wav", "text": "first", "offset": 0.0},
    ]
    (tmp_path / "m.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = rows(tmp_path)
    assert found["a.wav"].metadata == Metadata()
    assert found["b.wav"].metadata == Metadata("same", "ann")
    assert found["c.wav"].metadata == Metadata("first second")
    assert "line 2: 'a.wav': its text is 'two', and 'one' in line 1" in found["m.jsonl:2"].error
    assert len(found) == 4


def test_lhotse_ids_that_mean_two_recordings_mean_none(tmp_path):
    audio(tmp_path, "a.wav", "b.wav")
    source = {"type": "file", "channels": [0]}
    recordings = [{"id": "r", "sources": [source | {"source": name}]} for name in ("a.wav", "b.wav")]
    (tmp_path / "recordings.jsonl").write_text("".join(json.dumps(line) + "\n" for line in recordings))
    (tmp_path / "supervisions.jsonl").write_text(json.dumps({"recording_id": "r", "text": "one"}))
    found = rows(tmp_path)
    assert found["a.wav"].metadata == found["b.wav"].metadata == Metadata()
    assert "line 2: id 'r' is another recording's in this folder already" in found["recordings.jsonl:2"].error
    assert "several recordings in this folder's manifests have id 'r'" in found["supervisions.jsonl"].error


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"audio_filepath": "a.wav", "text": NaN}', "NaN or infinity"),
        ('{"audio_filepath": "a.wav", "text": "one", "offset": NaN}', "finite number"),
        ('{"audio_filepath": "a.wav", "text": ["one", "two"]}', "expected words, not a list"),
        ('{"audio_filepath": "a.wav", "text": "one", "text": "two"}', "key 'text' stands twice"),
        ('{"audio_filepath": "", "text": "one"}', "the name of the recording is empty"),
    ],
)
def test_a_json_row_that_is_not_understood(line, words, tmp_path):
    audio(tmp_path, "a.wav")
    (tmp_path / "m.jsonl").write_text(line)
    found = rows(tmp_path)
    assert sorted(found) == ["a.wav", "m.jsonl"] and found["a.wav"].metadata == Metadata()
    assert words in found["m.jsonl"].error


def test_the_same_text_in_two_manifests_is_no_problem(tmp_path):
    audio(tmp_path, "clips/a.mp3", "clips/b.mp3")
    header = "client_id\tpath\tsentence\n"
    (tmp_path / "train.tsv").write_text(header + "ann\ta.mp3\tone\n")
    (tmp_path / "validated.tsv").write_text(header + "ann\ta.mp3\tone\nbob\tb.mp3\ttwo\n")
    assert told(tmp_path) == {"clips/a.mp3": ("one", "ann"), "clips/b.mp3": ("two", "bob")}
