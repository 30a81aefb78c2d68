"""What a request to forget covers: recordings by speaker, pattern or list, and the copies of the same audio."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import translate
from functools import lru_cache

from clean_corpus.pipeline.core.errors import ConfigError, DataError
from clean_corpus.pipeline.corpus import forgotten
from clean_corpus.pipeline.corpus.forgotten import PREFIX, Forgotten, Request, digits_of, label_of, stem_of
from clean_corpus.pipeline.corpus.known_clips import KnownClip

EMPTY = hashlib.sha256(b"").hexdigest()  # of a file without a byte, which tells nothing of a recording
SHOWN = 10  # of lines or names that match nothing


@dataclass(frozen=True)
class Asked:
    """What is to be forgotten: labels of speakers, patterns of sources, and sources with the lines that name them.

    A recording goes if any of them matches. In a pattern `*` stands for anything and `?` for one character; brackets
    stand for themselves, since names have them.
    """

    speakers: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    listed: Mapping[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.speakers or self.patterns or self.listed)

    def digest(self, salt: bytes) -> str:
        """Return what tells this from other requests."""
        return forgotten.asked_digest(salt, [sorted(self.speakers), sorted(self.patterns), sorted(self.listed)])


@dataclass
class Selection:
    """What a request covers, and the request as it is stored.

    `named` are the recordings that were asked for; `copies` those that nobody named: they hold the same audio, or have
    the same content or name; `labels` the speakers of all of them, as far as they are known.
    """

    request: Request
    named: list[str]
    copies: list[str]
    labels: list[str]


def read_list(data: bytes, name: str) -> dict[str, int]:
    """Return the sources that a list names, one a line, with the numbers of their lines; empty lines are passed over.

    Raises: DataError if a line is not UTF-8.
    """
    found: dict[str, int] = {}
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines(), 1):
        try:
            text = unicodedata.normalize("NFC", line.decode().strip("\r\n"))
        except UnicodeDecodeError:
            raise DataError(f"{name} line {number}: not UTF-8; write the list in UTF-8") from None
        if text.strip():
            found.setdefault(text, number)
    return found


class _Matcher:
    """Which recordings are asked for by name, and what of the request has matched so far."""

    def __init__(self, asked: Asked) -> None:
        self._labels = {label_of(speaker): speaker for speaker in asked.speakers}
        normal = ((pattern, unicodedata.normalize("NFC", pattern)) for pattern in asked.patterns)
        self._patterns = [(pattern, re.compile(translate(text.replace("[", "[[]")))) for pattern, text in normal]
        self._listed = asked.listed
        self.used: set[str] = set()
        self.labels: set[str] = set()
        self._of_source = lru_cache(maxsize=2**14)(self._find_source)

    def __call__(self, clip: KnownClip) -> bool:
        if clip.source.startswith(PREFIX):
            return False
        found = {*self._of_source(clip.source)}
        for label in filter(None, (clip.speaker, clip.speaker_auto)):
            if (name := self._labels.get(label_of(label))) is not None:
                found.add(f"speaker {name}")
        if clip.speaker and f"speaker {self._labels.get(label_of(clip.speaker))}" in found:
            self.labels.add(label_of(clip.speaker))
        self.used |= found
        return bool(found)

    def _find_source(self, source: str) -> tuple[str, ...]:
        name = unicodedata.normalize("NFC", source)
        found = [f"source {pattern}" for pattern, compiled in self._patterns if compiled.match(name)]
        return (*found, *([f"line {name}"] if name in self._listed else []))


def select(
    clips: Iterable[KnownClip],
    asked: Asked,
    salt: bytes,
    *,
    reference: str | None = None,
    allow_unmatched: bool = False,
) -> Selection:
    """Return what a request covers.

    Copies go too: a clip that is a duplicate of one that goes, or is kept in its place, holds the same audio, whoever
    sent it; and so does a recording of the same bytes, or of the same name with another extension. `clips` are
    gone through several times.
    Raises: ConfigError if a speaker, a pattern or a line of the list matches nothing, unless `allow_unmatched`.
    """
    matches = _Matcher(asked)
    of_asked: set[str] = set()
    sources: set[str] = set()
    kept_for: dict[str, str] = {}
    for clip in clips:
        if clip.copy_of:
            kept_for[clip.clip_id] = clip.copy_of
        if matches(clip):
            of_asked.add(clip.clip_id)
            sources.add(clip.source)
    _refuse_unmatched(asked, matches.used, allow_unmatched)
    same_audio = _same_audio(of_asked, kept_for)
    copied = {clip.source for clip in clips if clip.clip_id in same_audio} if same_audio - of_asked else set()
    listed = set(asked.listed) if allow_unmatched else set()
    labels = matches.labels | ({label_of(speaker) for speaker in asked.speakers} if allow_unmatched else set())
    name, made = forgotten.new_id()
    template = Request(
        id=name, made=made, reference=reference, asked=asked.digest(salt), clips=0, recordings=0, seconds=0.0
    )
    request, found, spoken = _covered(clips, sources | copied | listed, labels, salt, template)
    return Selection(request, sorted(found & sources), sorted(found - sources), sorted(spoken))


def _refuse_unmatched(asked: Asked, used: set[str], allow: bool) -> None:
    lines = {f"line {name}": f"line {number}" for name, number in asked.listed.items()}
    wanted = {f"speaker {s}": f"--speaker {s}" for s in asked.speakers} | {
        f"source {p}": f"--source {p}" for p in asked.patterns
    }
    missing = [words for name, words in (wanted | lines).items() if name not in used]
    if missing and not allow:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise ConfigError(
            f"nothing here matches {', '.join(missing[:SHOWN])}{more}; nothing was changed. Correct it (names are "
            "those of the ledger's columns source and speaker), or take --allow-unmatched, which also keeps the names "
            "out of later runs"
        )


def _same_audio(clip_ids: set[str], kept_for: Mapping[str, str]) -> set[str]:
    """Return the clips of all groups of copies that some clips are in: a group is one that is kept, and the others."""
    kept = {kept_for.get(clip_id, clip_id) for clip_id in clip_ids}
    return kept | {clip_id for clip_id, other in kept_for.items() if other in kept}


def _covered(
    clips: Iterable[KnownClip], sources: set[str], labels: set[str], salt: bytes, template: Request
) -> tuple[Request, set[str], set[str]]:
    """Return the request that covers some recordings and all of the same bytes or name, their sources and speakers."""
    digest = Forgotten(salt, ()).digest
    contents: set[str] = set()
    keys: set[str] = set()
    while True:
        for clip in clips:
            if clip.source in sources:
                contents |= {digest("content", clip.sha256)} if clip.sha256 not in (None, EMPTY) else set()
                keys |= {digest("key", digits)} if (digits := digits_of(clip.clip_id)) else set()
        update = {
            "speakers": sorted(digest("speaker", label) for label in labels),
            "names": sorted({digest("name", stem_of(source)) for source in sources}),
            "contents": sorted(contents),
            "keys": sorted(keys),
        }
        request = template.model_copy(update=update)
        covered = Forgotten(salt, [request])
        durations: dict[str, float] = {}
        found: set[str] = set()
        spoken: set[str] = set()
        for clip in clips:
            if not clip.source.startswith(PREFIX) and covered.request_of(
                clip.source, clip.sha256, clip.speaker, clip.clip_id
            ):
                durations[clip.clip_id] = clip.duration_s
                found.add(clip.source)
                spoken |= {clip.speaker} if clip.speaker else set()
        if found <= sources:
            counts = {"clips": len(durations), "recordings": len(found), "seconds": round(sum(durations.values()), 3)}
            return request.model_copy(update=counts), found, spoken
        sources = sources | found
