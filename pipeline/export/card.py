"""The card of an export: what it holds, of which version, under which licences; as JSON, and as a page to read."""

from typing import Any

from clean_corpus.pipeline.corpus.stage_cache import library_versions
from clean_corpus.pipeline.corpus.versions import Manifest
from clean_corpus.pipeline.export.layouts import Layout
from clean_corpus.pipeline.export.plan import Plan
from clean_corpus.pipeline.export.texts import one_line
from clean_corpus.pipeline.export.utterances import SIDES, UNKNOWN
from clean_corpus.pipeline.text.languages import language_code

NOT_STATED = "not stated"


def card(name: str, layout: Layout, plan: Plan, manifest: Manifest, identity: str, lists: list[str]) -> dict[str, Any]:
    """Return the card's content; equal exports have equal cards.

    `identity` is a hash of everything that decides the export; `lists` are its files besides the audio.
    """
    options, run, sides = plan.options, manifest.run, _group(plan, "side")
    return {
        "format": 1,
        "identity": identity,
        "layout": name,
        "reader": layout.reader,
        "layout_source": layout.source,
        "sample_rate": plan.sample_rate,
        "clips": _count(plan, "1"),
        "sides": {side: sides[side] for side in SIDES if side in sides},
        "speakers": _group(plan, "speaker", UNKNOWN),
        "speaker_numbers": plan.speakers,
        "n_speakers": plan.n_speakers,
        "languages": _group(plan, "language", NOT_STATED),
        "licences": _group(plan, "licence", NOT_STATED),
        "consent": _group(plan, "consent", NOT_STATED),
        "text_sources": dict(sorted(plan.text_sources.items())),
        "texts_without_separator": plan.changed_texts,
        "left_out": {
            why: {"clips": n, "hours": round(plan.left_out_s[why] / 3600, 4)} for why, n in plan.left_out.most_common()
        },
        "split": {"shares": list(plan.shares), "by": options.split_by},
        "selected_speakers": list(options.speakers),
        "corpus": {
            "version": manifest.version,
            "made": manifest.made,
            "ledger_sha256": manifest.ledger.sha256,
            "kept": run.get("counts", {}).get("kept"),
            "enhancer": run.get("enhancer"),
            "weights_sha256": run.get("weights_sha256"),
            "upper_band": run.get("upper_band"),
            "upper_band_sha256": run.get("upper_band_sha256"),
            "settings": run.get("config", {}),
            "rulers": run.get("rulers", {}),
        },
        "software": list(library_versions("clean-corpus", "soxr", "soundfile")),
        "lists": lists,
    }


def _count(plan: Plan, condition: str) -> dict[str, Any]:
    sql = f"SELECT count(*), coalesce(sum(n_samples), 0) FROM clip WHERE {condition}"
    clips, n_samples = plan.database.execute(sql).fetchone()
    return {"clips": clips, "hours": round(n_samples / plan.sample_rate / 3600, 4)}


def _group(plan: Plan, column: str, missing: str = "") -> dict[str, dict[str, Any]]:
    rows = plan.database.execute(
        f"SELECT coalesce({column}, ?), count(*), sum(n_samples) FROM clip GROUP BY 1 ORDER BY 1", (missing,)
    )
    return {value: {"clips": n, "hours": round(samples / plan.sample_rate / 3600, 4)} for value, n, samples in rows}


def remarks(card: dict[str, Any], layout: Layout) -> list[str]:
    """Return what a user should know of an export before a training."""
    shares = dict(zip(SIDES, card["split"]["shares"], strict=True))
    empty = [side for side, share in shares.items() if share and side not in card["sides"]]
    told = [f"{side} is empty: its share of {shares[side]:g} is too small for so few texts" for side in empty]
    if layout.one_voice and (speakers := len(card["speakers"])) > 1:
        told.append(f"{speakers} speakers are in one list, which does not tell them apart; --speaker takes one")
    if layout.one_language and len(spoken := _languages(card)) > 1:
        told.append(
            f"{len(spoken)} languages are in one list, whose reader takes them for one: {', '.join(spoken)}; --speaker "
            "takes the speakers of one"
        )
    return told


def _languages(card: dict[str, Any]) -> list[str]:
    """Return the codes of the languages that clips are known to be in."""
    named = (one_line(name) for name in card["languages"] if name != NOT_STATED)
    return sorted({code for name in named if (code := language_code(name))})


def _start(card: dict[str, Any], layout: Layout, where: str) -> str:
    """Return how a training begins; LANGUAGE stands for one that is not known, or not one."""
    spoken = _languages(card)
    language = layout.codes.get(spoken[0], spoken[0]) if len(spoken) == 1 else "LANGUAGE"
    several = layout.several.format(speakers=card["n_speakers"]) if card["n_speakers"] > 1 else ""
    return layout.start.format(dest=where, rate=card["sample_rate"], language=language, several=several)


def page(card: dict[str, Any], layout: Layout, where: str) -> str:
    """Return the card as Markdown; that of a dataset on the Hugging Face hub begins with its YAML."""
    corpus, clips = card["corpus"], card["clips"]
    lines = [
        f"# {clips['clips']} clips, {clips['hours']:.2f} h, for {card['reader']}",
        "",
        f"{card['sample_rate']} Hz, mono, 16 bit. Of version {corpus['version']} of a corpus made by clean-corpus, "
        f"enhancer {corpus['enhancer']}; its ledger's SHA-256 is {corpus['ledger_sha256']}.",
        "",
        f"A training begins with: `{_start(card, layout, where)}`",
        "",
    ]
    lines += [part for text in (*remarks(card, layout), layout.warning, layout.note) if text for part in (text, "")]
    lines += [f"Source of the layout: {card['layout_source']}.", ""]
    for title, key in (
        ("side", "sides"),
        ("licence", "licences"),
        ("consent", "consent"),
        ("speaker", "speakers"),
        ("language", "languages"),
    ):
        lines += _table(title, card[key])
    if card["left_out"]:
        lines += ["Left out:", "", *_table("why", card["left_out"])]
    shares = "/".join(f"{share:g}" for share in card["split"]["shares"])
    lines += [
        f"Split {shares} by {card['split']['by']}: a clip stays on its side in every version. `card.json` has the "
        "thresholds, the rulers and all of this for programs.",
        "",
    ]
    return _hub_header(card) + "\n".join(lines) if card["layout"] == "hf" else "\n".join(lines)


def _table(title: str, rows: dict[str, dict[str, Any]]) -> list[str]:
    body = [
        f"| {' '.join(name.split()).replace('|', chr(92) + '|')} | {row['clips']} | {row['hours']:.2f} |"
        for name, row in rows.items()
    ]
    return [f"| {title} | clips | hours |", "| --- | --- | --- |", *body, ""]


def _hub_header(card: dict[str, Any]) -> str:
    """Return the YAML that the hub and `datasets` read: where the splits lie."""
    splits = {"train": "train", "dev": "validation", "test": "test"}
    lines = ["---", "task_categories:", "- text-to-speech", "configs:", "- config_name: default", "  data_files:"]
    for side in (side for side in splits if side in card["sides"]):
        lines += [f"  - split: {splits[side]}", f"    path: {splits[side]}/**"]
    return "\n".join([*lines, "---", "", ""])
