"""Commands of the program called in this process."""

from typer.testing import CliRunner, Result

from clean_corpus.flows.cli.app import app
from clean_corpus.pipeline.core.errors import CleanCorpusError


def invoke(*arguments: object) -> Result:
    """Run a command to its end; the result has what it printed as `stdout` and `stderr`.

    Raises: CleanCorpusError as the command does, which `main` turns into a line and an exit code.
    """
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, CleanCorpusError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result
