"""Every example in a docstring gives what it shows."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest
import torch

import clean_corpus

MODULES = [module.name for module in pkgutil.walk_packages(clean_corpus.__path__, "clean_corpus.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if str(error.name).startswith("clean_corpus"):
            raise
        pytest.skip(f"{error.name} is not installed")
    known = {"np": np, "torch": torch}  # which readers of examples take as imported
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testmod(module, extraglobs=known, optionflags=flags)
    assert result.failed == 0
