"""Packages that come with an extra of this one: whether they are installed, and what to say where they are not."""

import importlib.util

from clean_corpus.pipeline.core.errors import ConfigError


def is_installed(package: str) -> bool:
    """Return whether a package can be imported; it is not imported.

    >>> is_installed("numpy"), is_installed("no_such_package")
    (True, False)
    """
    return importlib.util.find_spec(package) is not None


def require(package: str, extra: str, setting: str) -> None:
    """Refuse a setting whose package is not installed.

    Raises: ConfigError that names the setting, the package and the extra that brings it.
    """
    if not is_installed(package):
        raise ConfigError(f"{setting} needs {package}, which is not installed; pip install 'clean-corpus[{extra}]'")
