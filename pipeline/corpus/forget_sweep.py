"""What lies in an output besides its versions, without what is forgotten: rewritten where users read it, else dropped.

The stage cache is cut back to what holds nothing of a forgotten recording, nor of those that were read in one group
with it, since their group has another name without it. Other objects are looked into; what cannot be is named.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from clean_corpus.pipeline.core import clock
from clean_corpus.pipeline.core.errors import DataError
from clean_corpus.pipeline.corpus import announcements, decisions, derived, versions
from clean_corpus.pipeline.corpus.forget_look import holds, members
from clean_corpus.pipeline.corpus.forget_version import digest_of, tar_without
from clean_corpus.pipeline.corpus.forgotten import DIGITS, FOLDER, Forgotten, digits_of
from clean_corpus.pipeline.corpus.known_clips import INGESTED, clips_of_record, texts
from clean_corpus.pipeline.corpus.own_files import is_named_by_content, is_no_file
from clean_corpus.pipeline.discover import groups
from clean_corpus.pipeline.discover.outputs import EXPORT_STATE
from clean_corpus.pipeline.storage.base import StorageError, Store

VERSIONED = tuple(f"{folder}/" for folder in versions.FOLDERS)
"""Of versions: what no version names is deleted with the old ones, if a run named it."""
PROTOCOL = ("fence/", f"{FOLDER}/", "work/lease/", "work/tmp/", "work/.lock", "work/.create")
REWRITTEN = ("ledger.parquet", "run.json", groups.KEY)
VARIANTS = "variants/"
DECISIONS = f"{decisions.FOLDER}/"


@dataclass
class Swept:
    """How many objects besides the versions were dropped or rewritten, by folder, and which cannot be looked into."""

    dropped: Counter[str] = field(default_factory=Counter)
    rewritten: Counter[str] = field(default_factory=Counter)
    unknown: list[str] = field(default_factory=list)
    exports: list[str] = field(default_factory=list)  # folders that were dropped whole


def sweep(store: Store, forgotten: Forgotten) -> Swept:
    """Take what is forgotten out of everything but the versions.

    Raises: StorageError if another run has taken over, or the output cannot be written.
    """
    swept, whole = Swept(), derived.folders(store.walk(""))
    doomed = [
        *_derived(store, whole, swept),
        *_stale_work(store, forgotten),
        *_rewrite_variants(store, forgotten, swept),
    ]
    for key in store.walk(""):
        if key.startswith((*PROTOCOL, *whole, "versions/", "work/", VARIANTS, DECISIONS)) or key in REWRITTEN:
            continue
        if key.startswith(VERSIONED) and is_named_by_content(key):
            continue
        found = holds(store, key, forgotten)
        if found is None:
            swept.unknown.append(key)
        elif found:
            doomed.append(key)
    for key in announcements.while_held(store, doomed, clock.now_s()):
        store.delete(key)
        swept.dropped[key.split("/")[0]] += 1
    if swept.dropped.total() < len(doomed):
        raise StorageError(f"output {store.root}: {len(doomed) - swept.dropped.total()} objects are not deleted yet")
    _rewrite_decisions(store, forgotten, swept)
    store.tidy()
    swept.rewritten.update(filter(None, [_rewrite_groups(store, forgotten), *_put_newest(store)]))
    return swept


def _derived(store: Store, whole: Iterable[str], swept: Swept) -> Iterator[str]:
    """Yield what lies in folders that are dropped whole."""
    for folder in whole:
        keys = list(store.walk(folder.rstrip("/")))
        if keys and folder not in derived.REPORTS:
            swept.exports.append(folder.rstrip("/"))
        yield from sorted(keys, key=lambda key: f"/{EXPORT_STATE}/" in key)  # who dies before the last finds the rest


# ---- work/ -----------------------------------------------------------------------------------------------------


def _stale_work(store: Store, forgotten: Forgotten) -> list[str]:
    """Return what is to be dropped of the stage cache: records that tell of some clips, and tars without a record."""
    present = [key for key in store.walk("work") if not key.startswith(PROTOCOL) and key not in REWRITTEN]
    records = [key for key in present if key.endswith(".json") and not is_no_file(key)]
    dropped: set[str] = set()
    affected: set[str] = set()
    named: set[str] = set()
    for key, text in texts(store, (key for key in records if key.startswith(INGESTED))):
        record = json.loads(text)
        clips = list(clips_of_record(record))
        if any(forgotten.request_of(c.source, c.sha256, c.speaker, c.clip_id) for c in clips):
            dropped.add(key)
            affected |= {digits for clip in clips if (digits := digits_of(clip.clip_id))}
        else:
            named |= _names_in(record)
    for key, text in texts(store, (key for key in records if not key.startswith(INGESTED))):
        digits, names = set(DIGITS.findall(text)), _names_in(json.loads(text))
        is_untold = not digits and any(name.startswith("work/") for name in names)  # which clips its tar holds
        if digits & affected or is_untold or forgotten.named_in(text):
            dropped.add(key)
        else:
            named |= names
    whole = named.union(records) - dropped
    return [key for key in present if key not in whole]


def _names_in(value: object) -> set[str]:
    """Return the objects that a record names, at any depth."""
    if isinstance(value, dict):
        own = {value["key"]} if isinstance(value.get("key"), str) else set()
        return own.union(*map(_names_in, value.values()))
    return set().union(*map(_names_in, value)) if isinstance(value, list) else set()


def _rewrite_groups(store: Store, forgotten: Forgotten) -> str | None:
    """Put pseudonyms in place of names in the groups of recordings; return the object's key if that changed it."""
    try:
        with store.opened(groups.KEY) as file:
            table = pq.read_table(file)
    except FileNotFoundError:
        return None
    sources = table["source"].to_pylist()
    hidden = [forgotten.pseudonym(s) if forgotten.request_of(s, None, None) else s for s in sources]
    if hidden == sources:
        return None
    table = table.set_column(0, table.schema.field("source"), pa.array(hidden, pa.string()))
    with store.writer(groups.KEY) as file:
        pq.write_table(table, file, compression="zstd")
    return "work"


# ---- what users read -------------------------------------------------------------------------------------------


def _rewrite_variants(store: Store, forgotten: Forgotten, swept: Swept) -> Iterator[str]:
    """Write tars of variants without forgotten clips; yield the tars that are then to be dropped."""
    for key in list(store.walk(VARIANTS.rstrip("/"))):
        if not (key.endswith(".tar") and holds(store, key, forgotten)):
            continue
        shard = digest_of(store, key)
        if shard is None:
            continue
        clip_ids = frozenset(_forgotten_members(store, key, forgotten))
        if tar_without(store, shard, clip_ids):
            swept.rewritten["variants"] += 1
        yield key


def _rewrite_decisions(store: Store, forgotten: Forgotten, swept: Swept) -> None:
    """Take decisions over forgotten clips out of the objects that hold some.

    What cannot be read as decisions is removed if it names a forgotten clip, else it is named as unknown.
    """

    def is_covered(entry: decisions.Entry) -> bool:
        speaker = entry.value if entry.what == "speaker" else None
        return bool(forgotten.request_of(entry.source, entry.source_sha256, speaker, entry.clip_id))

    holding = []
    for key in list(store.walk(decisions.FOLDER)):
        try:
            is_held = any(map(is_covered, decisions.parse(key, store.read(key))))
        except DataError:
            is_held = False
            if holds(store, key, forgotten):
                store.delete(key)
                swept.dropped[decisions.FOLDER] += 1
            else:
                swept.unknown.append(key)
        if is_held:
            holding.append(key)
    if holding:
        decisions.rewrite(store, holding, lambda entry: not is_covered(entry))
        swept.rewritten[decisions.FOLDER] += len(holding)


def _forgotten_members(store: Store, key: str, forgotten: Forgotten) -> Iterable[str]:
    with store.opened(key) as file:
        yield from (name for name, words in members(file, forgotten) if words)


def _put_newest(store: Store) -> Iterator[str]:
    """Put the newest version's ledger and facts in place of those that lie at the top of the output."""
    newest = versions.latest(store)
    if newest is None:
        return
    if store.size("ledger.parquet") is not None:
        with store.opened(newest.ledger.key) as file:
            store.copy(file, "ledger.parquet")
        yield "ledger.parquet"
    if store.size("run.json") is not None:
        facts = newest.run | {"version": newest.version}
        store.write("run.json", json.dumps(facts, indent=2, sort_keys=True).encode() + b"\n")
        yield "run.json"
