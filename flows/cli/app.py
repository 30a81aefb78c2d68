"""The program `clean-corpus`: its commands by name, and what an error becomes.

Modules of commands import nothing large before a command runs, so that `--help` answers at once.
"""

import sys
import traceback
from typing import NoReturn

import typer

from clean_corpus.flows.cli import (
    deploy,
    evaluate,
    export,
    folder,
    forget,
    listening,
    models,
    review,
    run,
    train,
    versions,
    vocoder,
)
from clean_corpus.flows.cli.console import print_last, whole_output
from clean_corpus.pipeline.core.errors import CleanCorpusError, ConfigError
from clean_corpus.pipeline.core.masking import mask
from clean_corpus.pipeline.core.surroundings import explained, speak_utf8, writable_cache

COMMANDS = {  # in the order of --help
    "run": run.run,
    "export": export.export,
    "enhance": folder.enhance,
    "score": folder.score,
    "evaluate": evaluate.evaluate,
    "yield": folder.yield_,
    "demo": folder.demo,
    "train-enhancer": train.train_enhancer,
    "save-training": train.save_training,
    "restore-training": train.restore_training,
    "train-vocoder": train.train_vocoder,
    "vocode": vocoder.vocode,
    "compare": vocoder.compare,
    "listening-test": listening.listening_test,
    "listening-results": listening.listening_results,
    "models": models.models,
    "export-onnx": models.export_onnx,
    "deploy": deploy.deploy,
    "versions": versions.versions,
    "diff": versions.diff,
    "rollback": versions.rollback,
    "verify": versions.verify,
    "gc": versions.gc,
    "forget": forget.forget,
    "review": review.review,
    "decisions": review.decisions,
}

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for name, command in COMMANDS.items():
    app.command(name)(command)


def main() -> None:
    """Run the command that the arguments name; an error is one line, with exit code 2 for a wrong setting, else 1.

    An error that nobody foresaw is a traceback, with exit code 1. Nothing that is said so has credentials in it.
    """
    speak_utf8()
    try:
        with writable_cache(), whole_output():
            app()
    except CleanCorpusError as error:
        _end(error, f"error: {error}", 2 if isinstance(error, ConfigError) else 1)
    except Exception as error:
        words = explained(error)
        _end(error, f"error: {words}" if words else traceback.format_exc().rstrip(), 1)


def _end(error: BaseException, words: str, code: int) -> NoReturn:
    """Print an error, and end the process."""
    print_last(mask(words))
    # Prefect keeps the error of a flow run, and so all that its functions had: DuckDB would print each object of it.
    traceback.clear_frames(error.__traceback__)
    sys.exit(code)
