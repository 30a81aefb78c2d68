"""Names of scores: the same for the same audio, another for any other file, ruler or place in a group."""

from clean_corpus.vocoder.comparison import measures, score_table


def test_a_name_stands_for_the_content_and_its_place(tmp_path, monkeypatch):
    a, b, copy = (tmp_path / name for name in ("a.wav", "b.wav", "copy.wav"))
    for path, data in ((a, b"1"), (b, b"2"), (copy, b"1")):
        path.write_bytes(data)
    jobs = [(a, b, "x"), (copy, b, "y"), (b, a, "x"), (a, None, "x")]
    one, same, swapped, alone = score_table.names(jobs, None)
    assert one == same and len({one, swapped, alone}) == 3
    said, otherwise, *_ = score_table.names(jobs, "whisper 1")
    assert len({one, said, otherwise}) == 3, "a text counts where it is listened for"
    a.write_bytes(b"3")
    assert score_table.names([(a, b, "x")], None) != [one]
    monkeypatch.setattr(measures, "VERSION", measures.VERSION + 1)
    assert score_table.names([(copy, b, "y")], None) != [one]


def test_what_is_written_is_read(tmp_path):
    table = tmp_path / "measured.json"
    assert score_table.read(table) == {}
    score_table.write(table, {"x": {"stoi": 0.5, "pesq_wb": None}})
    assert score_table.read(table) == {"x": {"stoi": 0.5, "pesq_wb": None}}
    assert list(tmp_path.iterdir()) == [table]
