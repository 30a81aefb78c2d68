"""The layouts that a corpus is exported in: what each reader takes, and where that is written down."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from clean_corpus.pipeline.core.errors import ConfigError, nearest
from clean_corpus.pipeline.export import huggingface, kaldi, manifests, tables, texts
from clean_corpus.pipeline.export.languages import GPT_SOVITS, XTTS, Codes
from clean_corpus.pipeline.export.speakers import Labels
from clean_corpus.pipeline.export.utterances import SIDES, Lists, Side


@dataclass(frozen=True)
class Layout:
    """What one reader takes.

    `sample_rate` (Hz) is None where the reader takes any. Shorter clips than `min_s` and longer ones than `max_s` are
    what the reader drops, or breaks at; `max_characters` likewise, and `min_samples` and `max_samples` where the reader
    counts in samples of the exported audio, at whatever rate. `audio` is where a clip's file goes, None where all
    audio lies in Shar tars; `shar` says that there are such. `prefix` says that paths in the lists are opened as they
    stand, `one_voice` that no column tells speakers apart, `one_language` that the reader takes all texts for those of
    one language, `numbers_speakers` that the lists hold numbers for speakers. `languages` are those that the reader
    takes, none where it takes any or does not ask. `start` is how a training begins, with {dest} for the folder,
    {language} for that of the clips as `codes` write it, and {several} for what `several` adds where the model has more
    than one of {speakers}; `warning` is what is to be done before.
    """

    reader: str
    source: str
    write: Callable[[Lists], None]
    start: str
    sample_rate: int | None = None
    min_s: float | None = None
    max_s: float | None = None
    min_samples: int | None = None
    max_samples: int | None = None
    max_characters: int | None = None
    audio: str | None = "wavs/{name}.wav"
    shar: bool = False
    needs_text: bool = True
    languages: Codes = field(default_factory=dict)
    prefix: bool = False
    prefix_without_spaces: bool = False
    split: str = "1"
    split_names: Mapping[Side, str] = field(default_factory=lambda: {side: side for side in SIDES})
    clean: texts.Clean = texts.one_line
    missing_texts: frozenset[str] = frozenset()
    speaker_names: Labels = texts.labels
    numbers_speakers: bool = False
    one_voice: bool = False
    one_language: bool = False
    codes: Codes = field(default_factory=dict)
    several: str = ""
    note: str = ""
    warning: str = ""

    def limits_s(self, sample_rate: int | None) -> tuple[float | None, float | None]:
        """Return the shortest and the longest clip that the reader takes at a rate in Hz, seconds; None for any."""
        if sample_rate is None:
            return self.min_s, self.max_s
        least = self.min_samples / sample_rate if self.min_samples else self.min_s
        return least, self.max_samples / sample_rate if self.max_samples else self.max_s


LAYOUTS: dict[str, Layout] = {
    "piper": Layout(
        reader="Piper",
        source="OHF-Voice/piper1-gpl: docs/TRAINING.md, src/piper/train/vits/dataset.py; rhasspy/piper: "
        "src/python/piper_train/preprocess.py; lengths: those of docs/TRAINING.md for LibriTTS-R",
        write=tables.piper,
        start="python3 -m piper.train fit --data.csv_path {dest}/metadata.csv --data.audio_dir {dest} "
        "--model.sample_rate {rate} --data.espeak_voice VOICE{several} ...",
        several=" --model.num_speakers {speakers}",
        sample_rate=22050, min_s=0.5, max_s=20.0, one_language=True,
        note="Piper's `low` voices take 16000 Hz: --sample-rate 16000. It splits off its own validation clips.",
    ),
    "f5-tts": Layout(
        reader="F5-TTS",
        source="SWivid/F5-TTS: src/f5_tts/train/datasets/prepare_csv_wavs.py, src/f5_tts/model/dataset.py (lengths)",
        write=tables.f5_tts,
        start="python src/f5_tts/train/datasets/prepare_csv_wavs.py {dest} PREPARED",
        sample_rate=24000, min_s=0.3, max_s=30.0, prefix=True,
    ),
    "xtts": Layout(
        reader="XTTS v2 (coqui-tts, formatter `coqui`)",
        source="coqui-ai/TTS and idiap/coqui-ai-TTS: TTS/tts/datasets/formatters.py; lengths: "
        "TTS/tts/layers/xtts/trainer/dataset.py and recipes/ljspeech/xtts_v2/train_gpt_xtts.py (255995 samples)",
        write=tables.xtts,
        start='BaseDatasetConfig(formatter="coqui", path="{dest}", meta_file_train="metadata_train.csv", '
        'meta_file_val="metadata_eval.csv", language="{language}")',
        sample_rate=22050, min_s=0.5, max_s=11.6, split="0.95/0.05",
        one_language=True, codes=XTTS, missing_texts=texts.MISSING, speaker_names=texts.pandas_labels,
    ),
    "vits": Layout(
        reader="VITS",
        source="jaywalnut310/vits: utils.py, data_utils.py (190 characters), train_ms.py (33 to 1000 frames of 256 "
        "samples)",
        write=tables.vits,
        start='"training_files": "{dest}/filelists/train.txt", "validation_files": "{dest}/filelists/val.txt", '
        '"sampling_rate": {rate}{several}',
        several=', "n_speakers": {speakers}',
        sample_rate=22050, min_samples=33 * 256, max_samples=1000 * 256, max_characters=190, prefix=True,
        split="0.95/0.05", clean=texts.without_bar, numbers_speakers=True, one_language=True,
        note="train.py trains one speaker, train_ms.py several.",
    ),
    "styletts2": Layout(
        reader="StyleTTS 2",
        source="yl4579/StyleTTS2: README.md, meldataset.py, train_finetune.py (80 frames of 300 samples), "
        "Utils/PLBERT/config.yml (512 positions)",
        write=tables.styletts2,
        start='train_data: "{dest}/train_list.txt", val_data: "{dest}/val_list.txt", root_path: "{dest}/wavs"{several}',
        several=", multispeaker: true",
        sample_rate=24000, min_s=1.0, max_characters=510, split="0.95/0.05", clean=texts.without_bar,
        numbers_speakers=True, one_language=True,
        warning="The second column holds the text as it is. StyleTTS 2 reads IPA phonemes there: run it through the "
        "phonemizer that training and synthesis will use (its own is phonemizer with espeak, preserve_punctuation and "
        "with_stress) before training.",
    ),
    "gpt-sovits": Layout(
        reader="GPT-SoVITS",
        source="RVC-Boss/GPT-SoVITS: README.md, GPT_SoVITS/prepare_datasets/1-get-text.py; lengths: "
        "GPT_SoVITS/module/data_utils.py; rate: prepare_datasets/2-get-hubert-wav32k.py",
        write=tables.gpt_sovits,
        start="inp_text={dest}/train.list inp_wav_dir={dest}/wavs",
        sample_rate=32000, min_s=0.61, max_s=53.9, languages=GPT_SOVITS, prefix=True, clean=texts.without_bar,
        note="Clips of 3 to 10 s also serve as prompts.",
    ),
    "cosyvoice": Layout(
        reader="CosyVoice 2 and 3",
        source="FunAudioLLM/CosyVoice: examples/libritts/cosyvoice/local/prepare_data.py, tools/make_parquet_list.py; "
        "lengths: examples/libritts/cosyvoice2/conf/cosyvoice2.yaml (filter), tools/extract_speech_token.py (30 s)",
        write=kaldi.cosyvoice,
        start="tools/extract_embedding.py --dir {dest}/train ... (stage 1 of examples/libritts/cosyvoice2/run.sh)",
        sample_rate=24000, min_s=1.0, max_s=30.0, prefix=True, prefix_without_spaces=True, split="0.95/0.05",
        speaker_names=texts.identifiers,
    ),
    "ljspeech": Layout(
        reader="readers of LJ Speech",
        source="keithito.com/LJ-Speech-Dataset; torchaudio.datasets.LJSPEECH",
        write=tables.ljspeech,
        start="{dest} in place of LJSpeech-1.1",
        sample_rate=22050, clean=texts.without_bar, one_voice=True, one_language=True,
        note="The layout has no column for speakers; --speaker takes one of several.",
    ),
    "hf": Layout(
        reader="Hugging Face datasets (AudioFolder)",
        source="huggingface.co/docs/datasets/audio_dataset",
        write=huggingface.huggingface,
        start='datasets.load_dataset("{dest}")',
        audio="{side}/{name}.flac", needs_text=False, split="0.9/0.05/0.05", split_names=huggingface.SPLITS,
    ),
    "lhotse": Layout(
        reader="lhotse (CutSet over files, and Shar)",
        source="lhotse-speech/lhotse: lhotse/cut, lhotse/shar/writers, lhotse/shar/readers",
        write=manifests.lhotse,
        start='CutSet.from_file("{dest}/cuts_train.jsonl.gz") or CutSet.from_shar(in_dir="{dest}/shar/train")',
        audio="audio/{name}.flac", shar=True, needs_text=False, prefix=True, split="0.9/0.05/0.05",
        note="The audio lies there twice, as files and in Shar tars; --for lhotse-shar writes the tars alone.",
    ),
    "lhotse-shar": Layout(
        reader="lhotse (Shar)",
        source="lhotse-speech/lhotse: lhotse/shar/writers, lhotse/shar/readers",
        write=manifests.no_lists,
        start='CutSet.from_shar(in_dir="{dest}/shar/train")',
        audio=None, shar=True, needs_text=False, split="0.9/0.05/0.05",
    ),
    "nemo": Layout(
        reader="NVIDIA NeMo",
        source="NVIDIA/NeMo: nemo/collections/tts/data/text_to_speech_dataset.py, nemo/collections/tts/data/dataset.py",
        write=manifests.nemo,
        start="manifest_path: {dest}/train_manifest.json, audio_dir: {dest}, "
        "speaker_path: {dest}/speakers.json{several}",
        several=", n_speakers: {speakers}",
        prefix=True, split="0.9/0.05/0.05", numbers_speakers=True,
    ),
    "kaldi": Layout(
        reader="Kaldi",
        source="kaldi-asr.org/doc/data_prep.html; kaldi-asr/kaldi: egs/wsj/s5/utils/validate_data_dir.sh",
        write=kaldi.kaldi,
        start="utils/validate_data_dir.sh --no-feats {dest}/train",
        prefix=True, split="0.9/0.05/0.05", speaker_names=texts.identifiers,
    ),
}  # fmt: skip


def find(name: str) -> Layout:
    """Return the layout of a name.

    Raises: ConfigError that names the nearest one, and all.
    """
    if name not in LAYOUTS:
        raise ConfigError(f"no layout {name!r}{nearest(name, LAYOUTS)}; there are: {', '.join(LAYOUTS)}")
    return LAYOUTS[name]
