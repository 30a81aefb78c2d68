"""The held-out data of the proof: by card and hash, no network that it judges was trained on any of it."""

from functools import partial

import soundfile

from clean_corpus.enhancers import checkpoints
from clean_corpus.enhancers.training.recordings import audio_files
from clean_corpus.pipeline.training import recording_list
from clean_corpus.pipeline.training.recording_list import Digests

JUDGED = ("default", "lean", "default-causal", "wgan-mild")
DECODED = 20  # one recording of so many is decoded too: the digest of its file is enough to find it


def heard_of(folder, networks):
    """How many recordings below a folder are in the list of any of these networks."""
    lists = [checkpoints.recordings(name) for name in networks]
    found = []
    for i, path in enumerate(audio_files(folder, "CLEAN_CORPUS_DATA")):
        data = path.read_bytes()
        one = recording_list.digests(data) if i % DECODED == 0 else Digests(file=recording_list.file_digest(data))
        found.append(any(heard.kind(one) for heard in lists))
    return sum(found), len(found)


def test_no_clip_of_the_proof_was_in_an_enhancers_training_data(real_data):
    """Two folders of noise: the one that is mixed, and the same sounds as the 16 kHz files that trainings take."""
    for name, least in (("speech/english_48k", 1000), ("noise_44k/dev", 70), ("noise/dev", 70)):
        heard, count = heard_of(real_data / name, JUDGED)
        assert heard == 0 and count >= least, name


def test_a_voice_that_was_would_be_found(real_data):
    for name in ("default", "lean", "wgan-mild"):
        assert heard_of(real_data / "speech" / "single_speaker", [name]) == (620, 620), name
    assert heard_of(real_data / "speech" / "english_48k", ["full-band"])[0] > 800  # above 8 kHz, where it may learn


def test_lists_of_shipped_weights_name_the_data_of_their_cards(benchmark, real_data):
    script = benchmark("training_recordings")
    for weights in script.shipped():
        named = {folder.partition("/")[0].partition("_")[0] for folder in script.folders_of(weights)}
        assert recording_list.read(weights).counts.keys() == named
    german = next(path for path in script.shipped() if path.stem == "german-voice")
    paths = audio_files(real_data / "speech" / "single_speaker", "")
    held = script.shipped_voice.held_out(paths)
    listed = recording_list.read(german)
    assert len(held) == 20 and not any(map(listed.kind, recording_list.of_files(sorted(held))))


def test_a_list_is_made_of_the_recordings_below_the_folders_of_a_card(benchmark, tmp_path):
    folders = ["speech/a", "noise/b"]
    for i, name in enumerate(folders):
        (tmp_path / name).mkdir(parents=True)
        soundfile.write(tmp_path / name / "x.wav", [0.1 * i, 0.2], 16000)
    assert benchmark("training_recordings").listed("any", folders, tmp_path).counts == {"speech": 1, "noise": 1}


def test_completing_a_list_keeps_what_it_holds(benchmark, tmp_path, monkeypatch):
    script = benchmark("training_recordings")
    (tmp_path / "data" / "voice").mkdir(parents=True)
    soundfile.write(tmp_path / "data" / "voice" / "x.wav", [0.1, 0.2], 16000)
    shard = Digests("0" * 12, "1" * 12)
    weights = tmp_path / "base.safetensors"
    recording_list.write(weights, recording_list.RecordingList({"speech": {shard}}, ("earlier",)))
    monkeypatch.setattr(script, "listed", partial(script.listed, data=tmp_path / "data"))
    monkeypatch.setattr("sys.argv", ["x", str(weights), "--data", "voice"])
    for _ in range(2):
        script.main()
        written = recording_list.read(weights)
        assert written.counts == {"speech": 2} and written.unlisted == ("earlier",) and written.kind(shard) == "speech"
