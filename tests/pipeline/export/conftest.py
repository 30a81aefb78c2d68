"""A tiny corpus with what readers stumble over, and its exports."""

import pytest

from clean_corpus.pipeline.core.config import DEFAULT_S3
from clean_corpus.pipeline.export.config import ExportConfig
from clean_corpus.pipeline.export.export import export
from clean_corpus.pipeline.storage.local import LocalStore
from tests.support.corpora import Spoken, commit

GROUPS = [
    [
        Spoken("a-1", 'He said "go", and went.'),
        Spoken("a-2", '"Quoted" first | bar', consent="signed"),
        Spoken("a-3", None),
        Spoken("a-4", "rejected", kept=False),
    ],
    [
        Spoken("b-1", "Zwei\nZeilen", speaker="b|ob", language="de"),
        Spoken("b-2", "None", speaker="19", duration_s=2.5),
        Spoken("b-3", "short", speaker=None, duration_s=0.45, licence=None),
        Spoken("b-4", "it's fine", speaker=None),
    ],
]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory):
    """The store of a corpus of 32 kHz, and its version."""
    store = LocalStore(tmp_path_factory.mktemp("corpus"))
    return store, commit(store, GROUPS, sample_rate=32000)


@pytest.fixture(scope="session")
def exported(corpus, tmp_path_factory):
    """Layout and settings -> the folder of the corpus' export, to be read alone, and what was said of it."""
    (store, manifest), made = corpus, {}

    def make(layout, **settings):
        options = ExportConfig(**{"layout": layout, "split": "1", "language": "en"} | settings)
        if options not in made:
            folder = tmp_path_factory.mktemp("exports") / layout
            made[options] = folder, export(store, manifest, folder, options, DEFAULT_S3)
        return made[options]

    return make
