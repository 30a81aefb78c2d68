"""The demo corpus holds what its table says, every time."""

import hashlib
import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from numpy.typing import NDArray
from scipy import signal

from clean_corpus.pipeline.core.config import PipelineConfig, TextConfig
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.corpus.clips import cut_recording
from clean_corpus.pipeline.demo.corpus import FEWEST_CLIPS, ODD_FILES, write_corpus
from clean_corpus.pipeline.demo.files import ENCODINGS
from clean_corpus.pipeline.demo.speakers import SENTENCES, SPEAKERS
from clean_corpus.pipeline.demo.takes import draw_takes
from clean_corpus.pipeline.discover import find_all
from clean_corpus.pipeline.text.aligners import open_aligner

TAKES = draw_takes(41 - ODD_FILES, 0)


@dataclass(frozen=True)
class Corpus:
    out: Path
    clean: Path
    cpu_s: float


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("demo")
    start = time.process_time()
    write_corpus(folder / "out", clean_references=folder / "twins")
    return Corpus(folder / "out", folder / "twins", time.process_time() - start)


def hashes(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def first_channel(path: Path, sample_rate: int) -> NDArray[np.float32]:
    audio, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(audio[:, 0], rate, sample_rate)


def level_db(audio: NDArray[np.floating]) -> float:
    return 10 * np.log10(np.mean(np.square(audio, dtype=np.float64)))


def test_smallest_corpus_is_the_same_in_another_process(tmp_path):
    code = (
        "import sys; from pathlib import Path;"
        "from clean_corpus.pipeline.demo.corpus import FEWEST_CLIPS, write_corpus;"
        "write_corpus(Path(sys.argv[1]), clips=FEWEST_CLIPS, seed=1, clean_references=Path(sys.argv[1], 'twins'))"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "there"], check=True)
    write_corpus(tmp_path / "here", clips=FEWEST_CLIPS, seed=1, clean_references=tmp_path / "here" / "twins")
    assert hashes(tmp_path / "here") == hashes(tmp_path / "there")
    recordings = [name for name in hashes(tmp_path / "here") if Path(name).suffix in ENCODINGS]
    references = [name for name in recordings if name.startswith("twins/")]
    assert len(recordings) - len(references) == FEWEST_CLIPS
    assert len(references) == FEWEST_CLIPS - ODD_FILES + 2  # the long readings have one too


def test_corpus_is_made_in_seconds(corpus):
    assert corpus.cpu_s < 15


def test_there_are_41_recordings_and_a_sidecar_for_each_take(corpus):
    recordings = [path for path in corpus.out.rglob("*.*") if path.suffix in ENCODINGS]
    assert len(recordings) == 41
    assert len(list(corpus.out.rglob("*.json"))) == len(TAKES) + 2  # and the long readings


@pytest.mark.parametrize("take", TAKES, ids=lambda take: take.path)
def test_file_of_a_take(corpus, take):
    info = soundfile.info(corpus.out / take.path)
    container, subtype = ENCODINGS[Path(take.name).suffix]
    assert (info.format, info.subtype, info.channels, info.samplerate) == (
        container,
        subtype,
        take.channels,
        take.sample_rate,
    )
    clean = soundfile.info((corpus.clean / take.path).with_suffix(".wav"))
    assert clean.samplerate == take.sample_rate
    assert clean.duration == pytest.approx(info.duration, abs=1 / take.sample_rate)


@pytest.mark.parametrize("suffix", sorted(ENCODINGS))
def test_the_clean_reference_is_aligned_through_every_codec(corpus, suffix):
    take = max((t for t in TAKES if t.name.endswith(suffix)), key=lambda t: t.snr_db)
    recording = first_channel(corpus.out / take.path, 16000)
    clean = first_channel((corpus.clean / take.path).with_suffix(".wav"), 16000)
    lag = int(np.argmax(signal.correlate(recording, clean, method="fft"))) - (len(clean) - 1)
    assert lag == 0


def test_written_ratio_is_that_of_the_table(corpus):
    take = next(t for t in TAKES[5:] if t.noise and t.sample_rate == 16000)  # no resampling between file and clean
    recording = first_channel(corpus.out / take.path, 16000)
    clean = first_channel((corpus.clean / take.path).with_suffix(".wav"), 16000)
    assert level_db(clean) - level_db(recording - clean) == pytest.approx(take.snr_db, abs=0.5)


def test_two_exact_and_one_near_duplicate(corpus):
    recordings = {name: h for name, h in hashes(corpus.out).items() if Path(name).suffix in ENCODINGS}
    assert len(recordings) - len(set(recordings.values())) == 2

    copy = first_channel(corpus.out / "unsorted" / "sent by mail.mp3", 16000)
    likeness = []
    for path in corpus.out.glob("*/*.wav"):
        if path.parent.name != "unsorted":
            audio = first_channel(path, 16000)
            if len(audio) == len(copy):
                likeness.append(np.corrcoef(audio, copy)[0, 1])
    assert max(likeness) > 0.99


def test_odd_files(corpus):
    odd = corpus.out / "unsorted"
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.read(odd / "interrupted-upload.flac")
    with pytest.raises(soundfile.LibsndfileError):
        soundfile.info(odd / "shopping-list.wav")
    assert not soundfile.read(odd / "muted.wav")[0].any()
    assert level_db(soundfile.read(odd / "empty-room.wav")[0]) == pytest.approx(-26, abs=0.1)
    assert 38 < soundfile.info(corpus.out / "george" / "george-reading.flac").duration < 60


def test_metadata_names_every_take_once(corpus):
    for speaker in {take.speaker for take in TAKES}:
        rows = (corpus.out / speaker / "metadata.csv").read_text("utf-8").splitlines()
        texts = dict(row.split("|") for row in rows)
        sidecars = {path.stem: json.loads(path.read_text("utf-8")) for path in (corpus.out / speaker).glob("*.json")}
        assert sidecars.keys() == texts.keys() | ({"george-reading"} if speaker == "george" else set())
        assert len(texts) == len(rows)
        for take in TAKES:
            if take.speaker == speaker:
                assert texts[Path(take.name).stem] == take.sentences[0]
        assert all(says["speaker"] == speaker and says["licence"] == "generated" for says in sidecars.values())
        assert all(says.get("consent") == SPEAKERS[speaker].consent for says in sidecars.values())


def test_the_readings_end_as_clips_of_their_own_sentence_or_of_no_text(corpus):
    """Ten clips of ten sentences, each with its own; and clips without text where the text is told for all of them."""
    config = PipelineConfig()
    recordings = {r.path: r for r in find_all(corpus.out, exclude=None)}
    timed, untimed = (recordings[f"{name}/{name}-reading.flac"] for name in ("george", "amelia"))
    clips = [clip for clip, _ in cut_recording(corpus.out, timed, config)]
    assert [clip.metadata.text for clip in clips] == list(SENTENCES["en"][:10])
    assert {(clip.text_source, clip.metadata.speaker, clip.reject) for clip in clips} == {("timed", "george", None)}
    several = [clip for clip, _ in cut_recording(corpus.out, untimed, config)]
    assert len(several) > 3 and {clip.metadata.text for clip in several} == {None}
    whole = " ".join(SENTENCES["en"][8:14])
    assert {clip.recording_text for clip in several} == {whole}
    pytest.importorskip("pocketsphinx", reason="the extra align is not installed")
    aligned = [clip for clip, _ in cut_recording(corpus.out, untimed, config, open_aligner(TextConfig(language="en")))]
    texts = [clip.metadata.text for clip in aligned if clip.text_source == "aligned"]
    assert len(texts) >= 2 and sum(whole.count(text) for text in texts) == len(texts) == len(set(texts))
    assert all(text[0].isupper() and text[-1] == "." for text in texts)


def test_too_few_clips_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"demo: 20 clips .* 21 or more"):
        write_corpus(tmp_path / "out", clips=20)
    assert not (tmp_path / "out").exists()
