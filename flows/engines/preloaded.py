"""All that calls in workers need, imported: the server that workers are forked from imports this module."""

import importlib

from clean_corpus.flows.engines.base import PRELOAD
from clean_corpus.pipeline.core.imports import quick_imports

with quick_imports():
    for name in PRELOAD:
        importlib.import_module(name)
