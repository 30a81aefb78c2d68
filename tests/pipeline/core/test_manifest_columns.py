"""Names of columns: what each means, which of several counts, and what is refused."""

import pytest
from pydantic import ValidationError

from clean_corpus.pipeline.core.config import ManifestConfig
from clean_corpus.pipeline.core.manifest_columns import (
    FIELDS,
    ColumnsError,
    choose_columns,
    declared_columns,
    field_of,
    nearest_field,
)


def test_no_name_means_two_fields():
    names = [name for names in FIELDS.values() for name in names.split()]
    assert len(names) == len(set(names))
    assert all(field_of(name) == field for field, names in FIELDS.items() for name in names.split())


def test_which_of_several_columns_counts():
    columns = choose_columns(["id", "raw_text", "text", "normalized_text", "speaker_id", "age", "speaker", "path"])
    assert (columns.name, columns.text, columns.speaker, columns.name_is_id) == (7, (3, 2, 1), 6, False)
    assert choose_columns(["text", "utt-id"]).name_is_id


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["text", "speaker"], "no column names the recording"),
        (["path", "file", "text"], "'path' and 'file' both mean audio"),
        (["id", "utt_id", "text"], "'id' and 'utt_id' both mean id"),
    ],
)
def test_what_is_refused(names, words):
    with pytest.raises(ColumnsError, match=words):
        choose_columns(names)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"columns": "audio|txt"}, "'txt' is not one of audio, id, text.*did you mean 'text'"),
        ({"columns": "text|speaker"}, "no column names the recording"),
        ({"columns": ""}, "is not one of"),
        ({"separator": "::"}, "separator"),
        ({"encoding": "cp-nothing"}, "expected an encoding of text"),
        ({"encoding": "base64"}, "expected an encoding of text"),
    ],
)
def test_settings_that_are_refused(settings, words):
    with pytest.raises(ValidationError, match=words):
        ManifestConfig(**settings)


def test_settings_as_people_write_them():
    config = ManifestConfig(columns="File Name | _ | Text", separator="tab", encoding="Windows-1252")
    assert (config.separator, config.encoding) == ("\t", "cp1252")
    assert declared_columns(config.columns).text == (2,)


def test_names_that_are_near():
    assert [nearest_field(name) for name in ("Text", "transcripts", "speeker", "licens", "duration", "words")] == [
        "text",
        "text",
        "speaker",
        "licence",
        None,
        None,
    ]
