"""Every example in a docstring gives what it shows."""

import doctest
import importlib
import pkgutil

import pytest

import clean_corpus

MODULES = [module.name for module in pkgutil.walk_packages(clean_corpus.__path__, "clean_corpus.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module(name):
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        pytest.skip(f"needs {error.name}")
    assert doctest.testmod(module, optionflags=doctest.ELLIPSIS).failed == 0
