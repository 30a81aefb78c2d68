"""The command `clean-corpus`. Commands are thin; knobs live in the configuration (docs: README, section Settings)."""

import json
import os
import sys
from contextlib import ExitStack, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Column, Table

from flows import embedded
from pipeline.config import load_yaml, override, validate
from pipeline.errors import CleanCorpusError, ConfigError
from pipeline.places import S3Folder, place


class Mode(StrEnum):
    """What listeners are asked."""

    acr = "acr"
    ab = "ab"
    mushra = "mushra"


app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = Console(stderr=True)

Settings = Annotated[list[str], typer.Option("--set", help="one setting, for example gate.dnsmos_ovrl_min=2.8")]
ConfigFile = Annotated[
    str | None, typer.Option("--config", help="YAML with the sections of the README, local or s3://")
]
EnhancerName = Annotated[
    str | None, typer.Option("--enhancer", help="shipped name, or path of trained .safetensors, or s3://")
]
Workers = Annotated[int | None, typer.Option("--workers", min=1, help="worker processes; default: one per core")]


def _yaml(config: str | None) -> dict[str, Any]:
    if config is None:
        return {}
    from flows import remote

    with remote.at_hand(place(config)) as path:
        return load_yaml(path)


def _run_config(
    source: str, output: str, config: str | None, enhancer: str | None, settings: list[str], workers: int | None
) -> Any:
    from flows.config import RunConfig

    data = _yaml(config)
    data |= {"input": source, "output": output}
    if enhancer:
        data["enhancer"] = enhancer
    if workers:
        data = override(data, [f"engine.workers={workers}"])
    if isinstance(found := place(source), Path) and not found.exists():
        raise ConfigError(f"INPUT {source}: no such file or folder")
    place(output)
    return validate(RunConfig, override(data, settings))


@app.command()
def run(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="folder of recordings, any depth, or s3://")],
    output: Annotated[str, typer.Argument(metavar="OUTPUT", help="folder for shards, ledger and report, or s3://")],
    config: ConfigFile = None,
    enhancer: EnhancerName = None,
    settings: Settings = [],  # noqa: B006 - typer copies it
    workers: Workers = None,
    compare_minutes: Annotated[
        float | None,
        typer.Option("--compare", min=0.01, help="then train a vocoder each on raw, enhanced and gated: minutes each"),
    ] = None,
) -> None:
    """Clean a folder of recordings: shards, ledger and report. Run it again to continue or after a change."""
    if compare_minutes:
        settings = [*settings, "variants=true"]
    settled = _run_config(source, output, config, enhancer, settings, workers)
    embedded.configure()
    again = "interrupted; finished work is kept: run the same command again to continue"
    with embedded.interruptible(_last_words, again):
        console.print("starting")
        from flows.clean_corpus import clean_corpus

        with embedded.server():
            summary = clean_corpus(settled)
    _print_summary(summary)
    counts = summary["counts"]
    if counts["kept"] + counts["rejected"] == 0:
        raise CleanCorpusError(f"nothing could be read in {source}: {counts['in']} files, {counts['failed']} failed")
    if compare_minutes:
        variants = {"raw": "variants/raw", "enhanced": "variants/enhanced", "gated": "shards"}
        sets = [f"{name}={settled.output}/{folder}" for name, folder in variants.items()]
        compare(sets, str(settled.output / "comparison"), budget=compare_minutes)


def _print_summary(summary: dict[str, Any]) -> None:
    counts, seconds = summary["counts"], summary["seconds"]
    title = f"{counts['in']} clips in {summary['wall_s']} s: version {summary['version']}"
    table = Table("end", "clips", "minutes", title=title)
    for end in ("kept", "rejected", "failed"):
        table.add_row(end, str(counts[end]), f"{seconds[end] / 60:.1f}")
    for reason, part in summary["reasons"].items():
        table.add_row(f"  {reason}", str(part["clips"]), f"{part['seconds'] / 60:.1f}")
    console.print(table)
    stages = Table("stage", "worker seconds", "done", "reused")
    for stage in summary["stages"]:
        stages.add_row(stage["name"], f"{stage['seconds']:.1f}", str(stage["done"]), str(stage["reused"]))
    console.print(stages)
    where = place(summary["output"])
    print(f"report: {where.absolute() if isinstance(where, Path) else where}/report/index.html")


@app.command()
def enhance(
    source: Annotated[str, typer.Argument(metavar="IN_DIR", help="folder of recordings, any rate, or s3://")],
    output: Annotated[str, typer.Argument(metavar="OUT_DIR", help="same tree, same names, 16 kHz WAV, or s3://")],
    enhancer: EnhancerName = None,
    workers: Workers = None,
) -> None:
    """Denoise a folder and nothing else: every recording becomes a WAV of the same name. Starts no server."""
    import enhancers
    from flows import folders, remote

    with embedded.interruptible(_last_words, "interrupted; written files are whole"):
        name = remote.weights(enhancer or enhancers.DEFAULT)
        failed, done = folders.enhance(place(source), place(output), name, workers or _cores(), console)
    _end_of_folder(source, "enhanced", done, failed)


@app.command()
def score(
    source: Annotated[str, typer.Argument(metavar="DIR", help="folder of recordings, or s3://")],
    clean: Annotated[str | None, typer.Option(help="folder of clean twins, or s3://: adds PESQ, STOI, SI-SDR")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object on standard output")] = False,
    workers: Workers = None,
) -> None:
    """Score every recording of a folder: DNSMOS, SNR, clipping, bandwidth, speech, loudness. Starts no server."""
    from flows import folders

    with embedded.interruptible(_last_words, "interrupted"):
        twins = place(clean) if clean else None
        scores, failed = folders.score(place(source), twins, workers or _cores(), console)
    means = folders.means(scores)
    if as_json:
        print(json.dumps({"files": scores, "mean": means, "failed": failed}, indent=2, sort_keys=True))
    else:
        table = Table("score", "mean", "files")
        for name, (mean, count) in means.items():
            table.add_row(name, f"{mean:.4g}", str(count))
        Console().print(table)
    _end_of_folder(source, "scored", len(scores), failed)


@app.command()
def evaluate(
    names: Annotated[
        list[str], typer.Argument(metavar="NAME...", help="shipped names, or paths of .safetensors, or s3://")
    ],
    pairs: Annotated[str, typer.Option(help="folder with noisy/ and clean/ WAVs of the same names, or s3://")],
    out: Annotated[str, typer.Option(help="folder for the tables and plots, or s3://")],
    workers: Workers = None,
) -> None:
    """Compare systems on noisy/clean pairs: 17 measures per SNR and noise class, intervals and tests."""
    from flows import evaluation

    with embedded.interruptible(_last_words, "interrupted; run the same command again to start over"):
        report, failed = evaluation.evaluate(names, place(pairs), place(out), workers or _cores(), console)
    for clip, error in failed.items():
        console.print(f"failed: {clip}: {error}", markup=False)
    print(f"report: {report}")


@app.command("yield")
def yield_(
    source: Annotated[str, typer.Argument(metavar="INPUT", help="folder of recordings, or s3://")],
    sample: Annotated[int, typer.Option(min=1, help="recordings to score, drawn with a fixed seed")] = 200,
    plot: Annotated[str, typer.Option(help="where the curves go, .png or .svg, local or s3://")] = "yield.png",
    config: ConfigFile = None,
    settings: Settings = [],  # noqa: B006 - typer copies it
    workers: Workers = None,
) -> None:
    """Hours kept against threshold for each score, from a sample of the raw recordings: before any enhancement."""
    from flows import folders, remote

    where = place(plot)
    settled = _run_config(source, str(where.parent), config, None, settings, workers)
    with embedded.interruptible(_last_words, "interrupted"), remote.written_file(where) as path:
        result = folders.yield_curve(sample, path, settled, console)
    table = Table("score", "threshold", "hours kept", "share", title=result.title)
    for row in result.rows:
        table.add_row(row.score, f"{row.threshold:.4g}", f"{row.hours:.3g}", f"{row.share:.0%}")
    Console().print(table)
    print(f"plot: {plot}")


@app.command()
def demo(
    output: Annotated[
        str, typer.Argument(metavar="OUT_DIR", help="folder for about 40 generated recordings, or s3://")
    ],
    clips: Annotated[int, typer.Option(min=1)] = 40,
    seed: Annotated[int, typer.Option(help="same seed, same bytes")] = 0,
) -> None:
    """Write a corpus of generated speech in generated rooms and noise, to try everything on (extra `demo`)."""
    from flows import remote
    from pipeline.demo import write_corpus

    with remote.written(place(output)) as folder:
        write_corpus(folder, clips=clips, seed=seed)
    console.print(f"demo corpus: {output}")


@app.command("train-enhancer")
def train_enhancer(
    name: Annotated[str, typer.Argument(help="row of the table of systems; `clean-corpus models` lists them")],
    speech: Annotated[
        list[str], typer.Option(help="folder of clean speech or of .tar shards, or a glob, or s3://; repeat for more")
    ],
    noise: Annotated[
        list[str], typer.Option(help="folder of noise, one subfolder a class, or shards as above; repeat for more")
    ],
    out: Annotated[
        str, typer.Option(help="folder for checkpoints, curves and weights, or s3://; continues what lies there")
    ],
    rirs: Annotated[str | None, typer.Option(help="simulated, or a folder of recorded rooms, or s3://")] = None,
    recipe: Annotated[str | None, typer.Option(help="a paper's settings; default: the row's own, if there is")] = None,
    config: Annotated[
        str | None, typer.Option("--config", help="YAML of settings, laid over the recipe's; s3:// too")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(min=0.01, help="stop after so many minutes; epochs become shorter")
    ] = None,
    settings: Annotated[list[str], typer.Option("--set", help="one setting, for example mix.seconds=4")] = [],  # noqa: B006
) -> None:
    """Train an enhancement network on noisy/clean pairs mixed on the fly (extra `train`). Run it again to continue."""
    embedded.configure()
    again = "interrupted; the same command continues from the last checkpoint"
    with embedded.interruptible(_last_words, again):
        console.quiet = embedded.is_helper()
        console.print("starting")
        from enhancers import recipes
        from enhancers.table import method
        from flows import running
        from flows import train_enhancer as training
        from pipeline.shard_stream import find_shards

        method(name)
        recipe = recipe or recipes.default_recipe(name)
        chosen = recipes.load_recipe(recipe) if recipe else None
        layers = [recipes.shortened(chosen, budget)] if budget else []
        layers += [_yaml(config), {"mix": {"rirs": rirs}} if rirs else {}]
        settled = recipes.settings(chosen, *layers, override({}, settings))
        for option, places in (("--speech", speech), ("--noise", noise)):
            find_shards(places, option)
        if chosen:
            said = "; ".join(f"{role}: {what}" for role, what in chosen.corpora if what)
            of = f"of paper [{chosen.paper}]" if chosen.paper != "-" else "of our own"
            console.print(f"recipe {recipe} {of}, which had {said}", markup=False, highlight=False)
        if embedded.is_helper():
            training.train_row.fn(name, speech, noise, running.working_folder(place(out)), settled)
            return
        with embedded.server():
            path = training.train_enhancer(name, speech, noise, place(out), settled, recipe)
    print(f"weights: {path}")


@app.command("save-training")
def save_training(
    run: Annotated[str, typer.Argument(help="folder that train-enhancer trains in, local")],
    state: Annotated[str, typer.Argument(metavar="STATE.safetensors", help="file to write; a .json beside it")],
) -> None:
    """Write all that continues a training, as of its last validation, without pickles; it may still run."""
    from enhancers import in_training

    steps = in_training.save_training(Path(run), Path(state))
    print(f"step {steps}: {state}")


@app.command("restore-training")
def restore_training(
    state: Annotated[str, typer.Argument(metavar="STATE.safetensors", help="what save-training wrote")],
    run: Annotated[str, typer.Argument(help="new folder, local; train-enhancer --out of it continues the training")],
) -> None:
    """Begin a folder in which train-enhancer goes on with a training that was saved on its way."""
    from enhancers import in_training

    steps = in_training.restore_training(Path(state), Path(run))
    print(f"step {steps}: {run}; continue with train-enhancer --out {run} and the settings it was begun with")


@app.command("train-vocoder")
def train_vocoder(
    shards: Annotated[
        list[str], typer.Argument(metavar="SHARDS...", help="OUTPUT/shards of a run, .tar files, a glob or s3://")
    ],
    out: Annotated[
        str, typer.Option(help="folder for checkpoints, curves and weights, or s3://; continues what lies there")
    ],
    config: Annotated[str | None, typer.Option("--config", help="YAML of settings, local or s3://")] = None,
    budget: Annotated[float | None, typer.Option(min=0.01, help="stop after so many minutes")] = None,
    force: Annotated[bool, typer.Option("--force", help="train on less than ten minutes too")] = False,
    settings: Annotated[list[str], typer.Option("--set", help="one setting, for example sizes.layers=20")] = [],  # noqa: B006
) -> None:
    """Train a WaveNet on kept clips (extra `vocoder`). Run it again to continue."""
    embedded.configure()
    again = "interrupted; the same command continues from the last checkpoint"
    with embedded.interruptible(_last_words, again):
        console.quiet = embedded.is_helper()
        console.print("starting")
        from flows import running
        from flows import train_vocoder as training
        from vocoder.train import VocoderConfig

        layer = {"budget_min": budget} if budget else {}
        settled = validate(VocoderConfig, override(_yaml(config) | layer, settings))
        if embedded.is_helper():
            training.train_wavenet.fn(shards, running.working_folder(place(out)), settled, force)
            return
        with embedded.server():
            path = training.train_vocoder(shards, place(out), settled, force)
    print(f"weights: {path}")


@app.command()
def vocode(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="MEL_OR_AUDIO...", help="recordings, folders of them, or saved frames; s3:// too"),
    ],
    checkpoint: Annotated[
        str, typer.Option(help="--out of train-vocoder, a .safetensors file of it, or a shipped voice; s3:// too")
    ],
    out: Annotated[str, typer.Option(help="folder for NAME.wav, or s3://")],
    seed: Annotated[int, typer.Option(help="of what is drawn; the same one gives the same speech")] = 0,
    speaker: Annotated[str | None, typer.Option(help="whose voice, if the vocoder knows several")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="utterances side by side; default: 32 a thread, 1024 on a GPU")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="default: one per core")] = None,
    score: Annotated[bool, typer.Option("--score", help="also how near the copy of each recording came to it")] = False,
) -> None:
    """Speak recordings or log-mel frames with a trained vocoder (extra `vocoder`)."""
    from flows import vocoding

    with embedded.interruptible(_last_words, "interrupted; nothing was written"):
        done, failed = vocoding.vocode(
            [place(source) for source in sources], place(checkpoint), place(out), console,
            seed=seed, speaker=speaker, batch_size=batch_size, threads=threads or _cores(), score=score,
        )  # fmt: skip
    _end_of_folder(sources[0], "spoken", done, failed)


@app.command()
def compare(
    sets: Annotated[
        list[str],
        typer.Option("--set", metavar="NAME=SHARDS", help="a version of the corpus; gains are over the first one's"),
    ],
    out: Annotated[
        str, typer.Option(help="folder for trainings, speech and report, or s3://; continues what lies there")
    ],
    budget: Annotated[
        float | None,
        typer.Option("--budget-minutes", min=0.01, help="of the first training; the others do as many updates"),
    ] = None,
    config: Annotated[str | None, typer.Option("--config", help="YAML of settings, local or s3://")] = None,
    force: Annotated[bool, typer.Option("--force", help="compare less than ten minutes of audio too")] = False,
    settings: Annotated[
        list[str], typer.Option("--setting", help="one setting, for example vocoder.sizes.layers=20")
    ] = [],  # noqa: B006
) -> None:
    """Train one vocoder per version of a corpus, all else equal, and report what each sounds like (extra `vocoder`)."""
    embedded.configure()
    again = "interrupted; the same command continues from the last checkpoint"
    with embedded.interruptible(_last_words, again):
        console.quiet = embedded.is_helper()
        console.print("starting")
        from flows import compare_vocoders as comparison
        from pipeline.s3 import DEFAULTS
        from pipeline.storage import open_store

        where = place(out)
        data = _yaml(config)
        if budget:
            data = override(data, [f"vocoder.budget_min={budget}"])
        settled = validate(comparison.CompareConfig, override(data, settings))
        with embedded.server():
            page = comparison.compare_vocoders(_named(sets), where, settled, force)
    print(open_store(where, DEFAULTS).read("verdict.txt").decode(), end="")
    print(f"report: {page.absolute() if isinstance(page, Path) else page}")


@app.command("listening-test")
def listening_test(
    source: Annotated[
        str,
        typer.Argument(
            metavar="DIR",
            help="--out of compare, or a folder per system: DIR/SYSTEM/UTTERANCE.wav, same names in each; s3:// too",
        ),
    ],
    out: Annotated[str, typer.Option(help="folder for the page, to be given to listeners, or s3://")],
    mode: Annotated[
        Mode, typer.Option(help="acr: naturalness 1 to 5; ab: which of two is better; mushra: sliders 0 to 100")
    ] = Mode.acr,
    seed: Annotated[int, typer.Option(help="same recordings, settings and seed: same bytes, same orders")] = 0,
    per_system: Annotated[
        int | None, typer.Option(min=1, help="utterances drawn, the same for all; default: all that every system has")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="the system that others are compared with; in mushra also the hidden reference")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            help="where the key goes, outside --out, or s3://; default: NAME.key.json beside --out, if that is local"
        ),
    ] = None,
    traps: Annotated[
        int, typer.Option(min=0, help="clips that ask for a number by beeps, to find who does not listen")
    ] = 2,
    headphones: Annotated[bool, typer.Option(help="check for headphones by three tones, one in antiphase")] = True,
    title: Annotated[str, typer.Option(help="what listeners see on top; must not name a system")] = "Listening test",
) -> None:
    """Make a blind listening test: one folder with a page that needs no server, and a key that stays with you."""
    from flows import listening, remote

    where, secret = place(out), place(key) if key else None
    if secret is None and not isinstance(where, Path):
        raise ConfigError(f"--out {out}: with a page in a bucket, --key FILE says where its key goes")
    if isinstance(secret, S3Folder) and f"{secret}/".startswith(f"{where}/"):
        raise ConfigError(f"--key {key} lies in --out {out}, which listeners get; choose a place outside it")
    with (
        remote.at_hand(place(source)) as systems,
        remote.written(where) as folder,
        remote.written_file(secret) if secret else nullcontext() as key_file,  # sent first: no page without its key
    ):
        made = listening.listening_test(
            systems, folder, console,
            mode=mode.value, seed=seed, per_system=per_system, reference=reference, key=key_file, traps=traps,
            headphones=headphones, title=title,
        )  # fmt: skip
    console.print(f"key, not for listeners: {secret or made.key}", markup=False, soft_wrap=True)
    print(f"page: {where / made.page.name}")


@app.command("listening-results")
def listening_results(
    exports: Annotated[
        list[str],
        typer.Argument(metavar="CSV...", help="what listeners saved, CSV or JSON, one or many a file; s3:// too"),
    ],
    key: Annotated[str, typer.Option(help="NAME.key.json that listening-test wrote, local or s3://")],
    out: Annotated[str, typer.Option(help="folder for results.md, results.json and results.png, or s3://")],
    comparison: Annotated[
        str | None, typer.Option(metavar="DIR", help="--out of compare, whose report is to show what people heard")
    ] = None,
) -> None:
    """Opinions of listeners: screening, means with intervals, tests, a plot."""
    from flows import listening, mirror, remote, running

    where = place(out)
    with ExitStack() as stack:
        saved = [stack.enter_context(remote.at_hand(place(export))) for export in exports]
        secret = stack.enter_context(remote.at_hand(place(key)))
        folder = stack.enter_context(remote.written(where))
        path = listening.listening_results(saved, secret, folder, console)
    print(f"results: {where / path.name}")
    if comparison:
        compared = place(comparison)
        mirrored = mirror.mirrored(compared, {"sets"}) if isinstance(compared, S3Folder) else nullcontext(compared)
        with remote.at_hand(where) as heard, mirrored as there:
            page = listening.merge(heard, there)
        print(f"report: {running.lasting(page, there, compared)}")


def _named(sets: list[str]) -> dict[str, list[str]]:
    """NAME=PLACE[,PLACE] by name."""
    named: dict[str, list[str]] = {}
    for given in sets:
        name, equals, places = given.partition("=")
        if not (name and equals and places) or not name.replace("-", "").replace("_", "").isalnum():
            raise ConfigError(f"--set {given}: write NAME=SHARDS, NAME of letters, digits, - and _")
        if name in named:
            raise ConfigError(f"--set {given}: {name} was given before; separate several places by commas")
        named[name] = places.split(",")
    return named


@app.command()
def models(
    as_json: Annotated[bool, typer.Option("--json", help="one JSON list on standard output")] = False,
) -> None:
    """List the enhancement systems: paper, size, work per second of audio, delay, target, shipped weights."""
    from enhancers.catalogue import describe_all

    rows = describe_all()
    if as_json:
        print(json.dumps(rows, indent=2))
        return
    heads = ("name", "paper", "parameters", "MFMA/s", "look-ahead", "shipped")
    table = Table(*(Column(head, no_wrap=True) for head in heads))
    for row in rows:
        late = "all" if row["lookahead_ms"] is None else f"{row['lookahead_ms']:g} ms"
        work = f"{row['fma_per_s'] / 1e6:,.0f}" if row["fma_per_s"] else ""
        parameters = f"{row['parameters']:,}" if row["parameters"] else ""
        table.add_row(row["name"], row["paper"], parameters, work, late, "yes" if row["weights"] else "")
    Console().print(table)


@app.command()
def export(
    name: Annotated[str, typer.Argument(help="shipped name, or path of trained .safetensors, or s3://")],
    output: Annotated[str, typer.Argument(metavar="OUT.onnx", help="file to write, local or s3://")],
    streaming: Annotated[
        bool, typer.Option("--streaming", help="a hop of samples and state in, the same out: for live audio")
    ] = False,
) -> None:
    """Write trained weights as an ONNX file, and check it with onnxruntime (extra `export`)."""
    import enhancers
    from enhancers.export import export_streaming
    from flows import remote

    if not streaming:
        raise ConfigError("export writes files that run hop by hop; add --streaming")
    with remote.written_file(place(output)) as path:
        export_streaming(enhancers.load(remote.weights(name)), path)
    print(f"written and checked: {output}")


@app.command()
def deploy(
    server: Annotated[str, typer.Option(metavar="URL", help="running Prefect server, for example http://host:4200")],
    source: Annotated[str, typer.Option("--input", metavar="INPUT", help="s3:// or a folder the worker can read")],
    output: Annotated[str, typer.Option("--output", metavar="OUTPUT", help="s3:// or a folder the worker can write")],
    cron: Annotated[str, typer.Option(help="minute hour day month weekday")] = "0 2 * * *",
    timezone: Annotated[str, typer.Option(help="of the schedule, for example Europe/Berlin")] = "UTC",
    pool: Annotated[str, typer.Option(help="work pool that GPU machines take runs from; made if missing")] = "gpu",
    name: Annotated[str, typer.Option(help="of the deployment; one per input and output")] = "clean-corpus",
    config: ConfigFile = None,
    settings: Settings = [],  # noqa: B006 - typer copies it
) -> None:
    """Have a Prefect server clean what is new on a schedule. Run it again to change input, schedule or settings."""
    from flows.config import RunConfig

    data = _yaml(config) | {"input": source, "output": output}
    settled = validate(RunConfig, override(data, settings))
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")  # errors are printed by us, once
    from flows import deploying

    parameters = deploying.parameters_of(settled, source, output)
    done = deploying.deploy(server, parameters, cron=cron, timezone=timezone, pool=pool, name=name)
    print(f"deployed: {done.name}, next run {done.next_run:%Y-%m-%d %H:%M %Z}")
    print(f"on each GPU machine: {done.start_worker}")
    print(f"to start a run now: {done.start_run}")


OutputArgument = Annotated[str, typer.Argument(metavar="OUTPUT", help="of a run: a folder or s3://")]
BucketSettings = Annotated[list[str], typer.Option("--set", help="of buckets, for example s3.endpoint_url=http://...")]


def _store_of(output: str, settings: list[str]) -> Any:
    from pipeline.config import PipelineConfig
    from pipeline.storage import open_store

    if isinstance(found := place(output), Path) and not found.is_dir():
        raise ConfigError(f"OUTPUT {output}: no such folder")
    return open_store(found, validate(PipelineConfig, override({}, settings)).s3)


@app.command("versions")
def versions_(
    output: OutputArgument,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON list on standard output")] = False,
    settings: BucketSettings = [],  # noqa: B006
) -> None:
    """List the versions of a corpus, the newest last."""
    from pipeline import versions

    store = _store_of(output, settings)
    found = [versions.read(store, number) for number in versions.numbers(store)]
    if as_json:
        print(json.dumps([m.model_dump(mode="json", include={"version", "made", "again", "run"}) for m in found]))
        return
    heads = ("version", "made", "kept", "rejected", "failed", "hours", "enhancer")
    table = Table(*(Column(head, no_wrap=True) for head in heads), box=box.SIMPLE, padding=(0, 1))
    for m in found:
        number = f"{m.version} ({m.again} again)" if m.again else str(m.version)
        counts = [str(m.run["counts"][end]) for end in ("kept", "rejected", "failed")]
        made = m.made[:16].replace("T", " ")
        table.add_row(number, made, *counts, f"{m.run['seconds']['kept'] / 3600:.2f}", m.run["enhancer"])
    Console().print(table)


@app.command()
def diff(
    output: OutputArgument,
    earlier: Annotated[int, typer.Argument(metavar="A", min=1)],
    later: Annotated[int, typer.Argument(metavar="B", min=1)],
    settings: BucketSettings = [],  # noqa: B006
) -> None:
    """Say what changed from version A to version B: clips new, gone, or with another end or another audio."""
    from pipeline import versions

    store = _store_of(output, settings)
    found = versions.difference(store, versions.read(store, earlier), versions.read(store, later))
    for clip in found.added:
        print(f"+ {clip}")
    for clip in found.removed:
        print(f"- {clip}")
    for clip, before, after in found.changed:
        print(f"~ {clip}: {before} -> {after}" if before != after else f"~ {clip}: {after}, other audio")
    console.print(f"{len(found.added)} new, {len(found.removed)} gone, {len(found.changed)} changed")


@app.command()
def rollback(
    output: OutputArgument,
    version: Annotated[int, typer.Argument(metavar="VERSION", min=1)],
    settings: BucketSettings = [],  # noqa: B006
) -> None:
    """Make an old version the newest again, as a version of its own; nothing is taken away."""
    from pipeline import versions

    store = _store_of(output, settings)
    store.prepare()
    with store.only_run():
        print(f"version: {versions.rollback(store, version).version}")


@app.command()
def verify(
    output: OutputArgument,
    version: Annotated[int | None, typer.Option(min=1, help="default: all that are there")] = None,
    settings: BucketSettings = [],  # noqa: B006
) -> None:
    """Hash every tar and ledger of the versions anew and hold them against the manifests."""
    from flows import progress
    from pipeline import versions

    store = _store_of(output, settings)
    chosen = [version] if version else versions.numbers(store)
    if not chosen:
        raise ConfigError(f"OUTPUT {output}: there is no version; `clean-corpus run` makes one")
    manifests = [versions.read(store, number) for number in chosen]
    objects = {named for manifest in manifests for named in manifest.objects}
    wrong = 0
    with progress.stage(console, "verify", len(objects), "objects") as advance:
        for key, problem in versions.verify(store, manifests):
            if problem:
                wrong += 1
                console.print(f"{key} {problem}", markup=False)
            else:
                advance()
    console.print(f"{len(manifests)} versions, {len(objects)} objects, {wrong} wrong")
    if wrong:
        raise CleanCorpusError(f"OUTPUT {output}: {wrong} objects are not what was written; run again, or roll back")


@app.command()
def gc(
    output: OutputArgument,
    keep: Annotated[int, typer.Option(min=1, help="versions that stay, the newest")],
    work: Annotated[bool, typer.Option("--work", help="also empty work/: the next run has all to do anew")] = False,
    settings: BucketSettings = [],  # noqa: B006
) -> None:
    """Drop old versions and the tars that no other version names."""
    from pipeline import versions

    store = _store_of(output, settings)
    store.prepare()
    with store.only_run():
        dropped = list(versions.gc(store, keep))
        if work:
            dropped += versions.empty_work(store)
    for key in dropped:
        print(key)
    console.print(f"{len(dropped)} objects dropped")


def _last_words(message: str) -> None:
    console.show_cursor()  # a progress bar had hidden it
    console.print(message)


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def _end_of_folder(source: object, what: str, done: int, failed: dict[str, str]) -> None:
    for name, error in failed.items():
        console.print(f"failed: {name}: {error}", markup=False)
    console.print(f"{what} {done}, failed {len(failed)}")
    if not done:
        raise CleanCorpusError(f"nothing could be read in {source}")


def main() -> None:
    """Entry point: errors as one line, exit code 2 for a wrong setting, 1 when nothing could be done."""
    try:
        app()
    except ConfigError as error:
        console.print(f"error: {error}", markup=False, soft_wrap=True)
        sys.exit(2)
    except CleanCorpusError as error:
        console.print(f"error: {error}", markup=False, soft_wrap=True)
        sys.exit(1)
