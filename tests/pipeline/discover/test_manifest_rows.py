"""Rows are of the kind that their keys tell, and a wrong one says what was expected."""

import pytest

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.types import Metadata
from clean_corpus.pipeline.discover.manifest_rows import (
    Cut,
    LhotseRecording,
    NemoRow,
    Supervision,
    parse_row,
    parse_sidecar,
)

SOURCE = '{"id": "r", "sources": [{"type": "file", "source": "a.wav"}]}'


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ('{"audio_filepath": "a.wav"}', NemoRow),
        ('{"recording_id": "r"}', Supervision),
        (SOURCE, LhotseRecording),
        (f'{{"recording": {SOURCE}}}', Cut),
    ],
)
def test_keys_tell_the_kind(content, kind):
    assert type(parse_row(content)) is kind


def test_a_row_of_many_keys_or_levels_is_refused_at_once():
    keys = ", ".join(f'"{i}": 0' for i in range(100_000))
    with pytest.raises(ConfigError, match="key '99999' stands twice"):
        parse_row(f'{{{keys}, "99999": 1}}')
    with pytest.raises(ConfigError, match="expected JSON"):
        parse_row("[" * 10**6)


def test_values_of_any_type_become_text():
    metadata, problem = parse_sidecar('{"text": " a ", "speaker": 7, "license": "CC0", "consent": {"by": "mail"}}')
    assert (metadata, problem) == (Metadata("a", "7", "CC0", '{"by": "mail"}'), None)


def test_custom_fields_of_a_supervision_are_overruled_by_its_own():
    row = parse_row('{"recording_id": "r", "speaker": "own", "custom": {"speaker": "custom", "licence": "CC0"}}')
    assert row.metadata() == Metadata(speaker="own", licence="CC0")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "expected JSON"),
        ('{"x": 1}', "expected an object with one of audio_filepath, sources, recording_id, recording"),
        ('{"sources": [], "id": "r"}', "at least 1 item"),
        ('{"id": "r", "sources": [{"type": "url", "source": "http://x"}]}', "Input should be 'file'"),
    ],
)
def test_a_wrong_row_says_what_was_expected(content, words):
    with pytest.raises(ConfigError, match=words):
        parse_row(content)
