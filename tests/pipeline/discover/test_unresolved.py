"""Rows of lines that came to nothing: one for each, or one for a manifest of which nothing was used."""

from clean_corpus.pipeline.discover import find_all


def rows(root):
    return {recording.path: recording for recording in find_all(root, exclude=None)}


def test_a_row_for_each_line_or_one_for_a_manifest_without_a_good_one(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"x")
    (tmp_path / "some.jsonl").write_text('{"audio_filepath": "a.wav"}\n[]\n\n{}\n')
    (tmp_path / "none.jsonl").write_text("[]\n\n{}\n1\n")
    found = rows(tmp_path)
    assert sorted(found) == ["a.wav", "none.jsonl", "some.jsonl:2", "some.jsonl:4"]
    assert found["none.jsonl"].error.startswith("malformed manifest: none.jsonl line 1: ")
    assert found["none.jsonl"].error.endswith("(and 2 more)")
    assert found["some.jsonl:4"].error.startswith("malformed manifest: some.jsonl line 4: ")


def test_rows_of_lines_do_not_hide_a_file_of_that_name(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"x")
    (tmp_path / "metadata.csv:2").write_bytes(b"audio")
    (tmp_path / "metadata.csv").write_text("a|one\nbad\n")
    found = rows(tmp_path)
    assert found["metadata.csv:2"].error is None and "line 2" in found["metadata.csv:2'"].error


def test_keys_of_rows_are_unique(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"x")
    (tmp_path / "metadata.csv").write_text("a|one\n" + "bad\n" * 50)
    found = rows(tmp_path)
    assert len({row.key for row in found.values()}) == 51 == len(found)


def test_texts_of_two_manifests_that_differ_are_counted(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.wav").write_bytes(b"x")
    (tmp_path / "metadata.csv").write_text("a|one\nb|two\nc|three\n")
    (tmp_path / "z.tsv").write_text("path\ttext\na.wav\tONE\nb.wav\tTWO\nc.wav\tthree\n")
    found = rows(tmp_path)
    assert [found[f"{name}.wav"].metadata.text for name in "abc"] == ["ONE", "TWO", "three"]
    assert sorted(found) == ["a.wav", "b.wav", "c.wav", "metadata.csv"]
    assert "z.tsv, which counts as the later by name, has another text for 2 of its" in found["metadata.csv"].error
