"""Time-stamped texts of every kind of sidecar and manifest end as the segments of their recording, or have a row."""

import json

import pytest

from clean_corpus.pipeline.core.config import ManifestConfig
from clean_corpus.pipeline.core.types import TimedText
from clean_corpus.pipeline.discover import find_all
from tests.pipeline.discover.test_textgrids import SAID, long_form
from tests.support.manifests import audio, found_rows, jsonl, lhotse_recording

ONE, TWO = TimedText(0.5, 1.5, "One.", "ann"), TimedText(2.0, 3.25, "Two.", "bob")
SRT = "1\n00:00:00,500 --> 00:00:01,500\nOne.\n\n2\n00:00:02,000 --> 00:00:03,250\nTwo.\n"


def lhotse(**more):
    first = {"id": "s1", "recording_id": "r", "start": 0.5, "duration": 1.0, "text": "One.", "speaker": "ann"}
    second = {"id": "s2", "recording_id": "r", "start": 2.0, "duration": 1.25, "text": "Two.", "speaker": "bob"}
    return [{**second, **more}, first]


CUTS = [
    {"id": "c1", "start": 0.25, "duration": 4.0, "recording": lhotse_recording("r", "a.wav"), "supervisions": [
        {**part, "start": part["start"] - 0.25} for part in lhotse()
    ]},
    {"id": "c2", "start": 1.75, "duration": 2.0, "recording": lhotse_recording("r", "a.wav"), "supervisions": [
        {**lhotse()[0], "start": 0.25}
    ]},
]  # fmt: skip
NEMO = [
    {"audio_filepath": "a.wav", "offset": 2.0, "duration": 1.25, "text": "Two.", "speaker": "bob"},
    {"audio_filepath": "a.wav", "offset": 0.5, "duration": 1.0, "text": "One.", "speaker": "ann"},
]
KALDI = {
    "text": "u-2 Two.\nu-1  One.\n",
    "segments": "u-1 talk 0.5 1.5\nu-2 talk 2.0 3.25\n",
    "utt2spk": "u-1 ann\nu-2 bob\n",
    "wav.scp": "talk sph2pipe -f wav /elsewhere/a.wav |\n",
    "spk2utt": "ann u-1\nbob u-2\n",
}


@pytest.mark.parametrize(
    ("files", "speakers"),
    [
        ({"a.srt": SRT}, False),
        ({"a.wav.srt": SRT}, False),
        ({"a.en.vtt": "WEBVTT\n\n" + SRT.replace(",", ".")}, False),
        ({"a.txt": "0.5\t1.5\tOne.\n2.0\t3.25\tTwo.\n"}, False),
        ({"a.TextGrid": long_form(("IntervalTier", "s", [(0.5, 1.5, "One."), (2.0, 3.25, "Two.")]))}, False),
        ({"r.jsonl": jsonl(lhotse_recording("r", "a.wav")).decode(), "s.jsonl": jsonl(*lhotse()).decode()}, True),
        ({"cuts.jsonl": jsonl(*CUTS).decode()}, True),
        ({"nemo.json": jsonl(*NEMO).decode()}, True),
        (KALDI, True),
        (KALDI | {"wav.scp": "talk /data/a.wav\n"}, True),
    ],
    ids=["srt", "double", "vtt", "labels", "textgrid", "lhotse", "cuts", "nemo", "kaldi", "kaldi-path"],
)
def test_each_format_gives_the_segments(tmp_path, files, speakers):
    audio(tmp_path, "a.wav")
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    ((path, found),) = found_rows(tmp_path).items()
    assert path == "a.wav" and found.metadata.text == "One. Two."
    expected = (ONE, TWO) if speakers else tuple(TimedText(s.start_s, s.end_s, s.text) for s in (ONE, TWO))
    assert found.segments == expected and hash(found)
    if all("." in name and not name.endswith(("jsonl", "json", "scp")) for name in files):
        (alone,) = find_all(tmp_path / "a.wav", exclude=None)
        assert alone.segments == expected, "the recording as INPUT"


def test_a_line_without_time_has_its_row_and_the_others_stay(tmp_path):
    audio(tmp_path, "a.wav", "b.wav")
    (tmp_path / "a.srt").write_text(SRT + "\n3\n00:00:05,000 --> 00:00:05,000\nThree.\n")
    (tmp_path / "b.vtt").write_text("nothing\n")
    (tmp_path / "n.jsonl").write_bytes(jsonl(*NEMO, {"audio_filepath": "b.wav", "offset": 1, "duration": -1}))
    found = found_rows(tmp_path)
    assert [s.text for s in found["a.wav"].segments] == ["One.", "Two."] and found["b.wav"].segments == ()
    assert "line 10: a text from 5 s to 5 s has no time to be spoken in; mend its times" in found["a.srt:10"].error
    assert "b.vtt: no time stamps such as" in found["b.vtt"].error
    assert "a text from 1 s to 0 s has no time" in found["n.jsonl:3"].error


def test_the_sidecar_that_counts_and_texts_without_times(tmp_path):
    """Of two kinds of time stamps one counts; a plain text beside them is that of the whole recording."""
    audio(tmp_path, "a.wav", "b.wav")
    (tmp_path / "a.srt").write_text(SRT)
    (tmp_path / "a.TextGrid").write_bytes(long_form(SAID).encode("utf-16"))
    (tmp_path / "a.json").write_text(json.dumps({"text": "All of it.", "speaker": "ann"}))
    (tmp_path / "m.jsonl").write_bytes(
        jsonl(
            {"audio_filepath": "b.wav", "text": "Whole.", "duration": 3.0}, {"audio_filepath": "a.wav", "offset": 1.0}
        )
    )
    found = found_rows(tmp_path)
    assert [s.text for s in found["a.wav"].segments] == ['He said "no" at [1] = 2.', "So."]
    assert found["a.wav"].metadata.text == "All of it."
    assert (found["b.wav"].segments, found["b.wav"].metadata.text) == ((), "Whole.")


def test_windows_1252_is_read_when_the_setting_says_so(tmp_path):
    audio(tmp_path, "a.wav")
    (tmp_path / "a.srt").write_bytes(SRT.replace("One", "Œuf\x85").encode("cp1252", "replace").replace(b"?", b"\x85"))
    for encoding, text in (("windows-1252", "\u0152uf\u2026."), (None, None)):
        *problems, found = find_all(tmp_path, exclude=None, manifest=ManifestConfig(encoding=encoding))
        assert [s.text for s in found.segments[:1]] == [text] * bool(text)
        assert text or "set manifest.encoding" in problems[0].error


def test_kaldi_lines_that_lead_nowhere_have_rows(tmp_path):
    audio(tmp_path, "d/wav/talk.flac", "d/alone.wav", "text")
    (tmp_path / "d/text").write_text("u-1 One.\nu-3 Three.\nu-9 Nine.\nu-1 Once more.\n")
    (tmp_path / "d/segments").write_text("u-1 talk 0.5 1.5\nu-9 gone 1.0 2.0\n")
    (tmp_path / "d/wav.scp").write_text("talk wav/talk.wav\ngone flac -dc gone.flac |\n")
    found = found_rows(tmp_path)
    assert found["d/wav/talk.flac"].segments == (TimedText(0.5, 1.5, "One."),)
    assert "'u-3' has no line in segments" in found["d/text:2"].error
    assert "'u-1' stands in an earlier line already" in found["d/text:4"].error
    assert found["d/gone.flac"].error == "not found: named in d/wav.scp line 2"
    assert found["text"].error is None, "a file that only has the name"
