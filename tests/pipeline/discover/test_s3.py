"""A bucket's recordings are those of a folder of the same names; a group is local in its block."""

import hashlib

import pytest

from clean_corpus.pipeline.core.config import DEFAULT_S3, ManifestConfig
from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import S3Folder
from clean_corpus.pipeline.discover import find_all
from clean_corpus.pipeline.storage import s3_objects

BUCKET = "found"


def put(client, request, *names):
    """Objects below a prefix of the test's own, each holding its name."""
    root = S3Folder(BUCKET, request.node.name)
    for name in names:
        client.put_object(Bucket=BUCKET, Key=root.key(name), Body=name.encode())
    return root


def test_every_object_has_one_row_but_hidden_and_excluded_ones(client, request):
    root = put(client, request, "b.wav", "a/x.wav", ".hidden.wav", "a/.git/y.wav", "out/z.wav")
    client.put_object(Bucket=BUCKET, Key=root.key("folder/"))
    recordings = find_all(root, exclude=root / "out")
    assert [(r.path, r.size, r.sha256) for r in recordings] == [("a/x.wav", 7, None), ("b.wav", 5, None)]
    assert recordings[1].etag == hashlib.md5(b"b.wav").hexdigest()


def test_one_object_has_its_sidecar_and_an_absent_one_is_named(client, request, monkeypatch):
    root = put(client, request, "a.wav", "a.txt", "b.wav", "cafe\N{COMBINING ACUTE ACCENT}.txt")
    accented = "caf\N{LATIN SMALL LETTER E WITH ACUTE}.wav"
    put(client, request, accented)
    asked, listing = [], s3_objects.list_objects

    def listed(bucket, prefix, **more):
        asked.append(prefix)
        return listing(bucket, prefix, **more)

    monkeypatch.setattr(s3_objects, "list_objects", listed)
    for name, sidecar in (("a.wav", "a.txt"), (accented, "cafe\N{COMBINING ACUTE ACCENT}.txt")):
        (recording,) = find_all(root / name, exclude=None)
        assert (recording.path, recording.metadata.text) == (name, sidecar)
    below = [root.key(start) for start in ("a.wav/", "a", f"{accented}/", "caf")]
    assert asked == below, "its neighbours, of which there may be millions, are not listed"
    with pytest.raises(ConfigError, match="no such object, and nothing lies below it"):
        find_all(root / "gone.wav", exclude=None)


def test_a_name_that_points_outside_cannot_be_read(client, request):
    root = put(client, request, "a/../../x.wav")
    (recording,) = find_all(root, exclude=None, s3=DEFAULT_S3)
    assert recording.error == "its name points outside the folder"


def put_text(client, root, **objects):
    for name, text in objects.items():
        client.put_object(Bucket=BUCKET, Key=root.key(name), Body=text.encode())


def told(root, **settings):
    found = find_all(root, exclude=None, manifest=ManifestConfig(**settings))
    return {r.path: (r.metadata.text, r.metadata.speaker) for r in found if not r.error}, {
        r.path: r.error for r in found if r.error
    }


def test_tables_and_json_lines_of_a_bucket(client, request):
    root = put(client, request, "clips/a.mp3", "b.wav", "c.wav", "d.wav")
    table = "client_id\tpath\tsentence\nann\ta.mp3\tone\nbob\tgone.mp3\tlost\nbad\n"
    put_text(client, root, **{"train.tsv": table, "prices.csv": "id,text\n1,bread\n"})
    rows = f'{{"audio_filepath": "{root}/b.wav", "text": "two"}}\n{{"audio_filepath": "s3://other/c.wav"}}\n'
    put_text(client, root, **{"manifest.json": rows, "d.json": '{"transcript": "four"}'})
    texts, errors = told(root)
    assert texts == {
        "clips/a.mp3": ("one", "ann"),
        "b.wav": ("two", None),
        "c.wav": (None, None),
        "d.wav": (None, None),
        "prices.csv": (None, None),
    }
    assert sorted(errors) == ["d.json", "gone.mp3", "manifest.json:2", "train.tsv:4"]
    assert errors["gone.mp3"] == "not found: named in train.tsv line 3"
    assert f"is not below INPUT, {root}" in errors["manifest.json:2"]
    assert "did you mean 'text'?" in errors["d.json"]


def test_declared_columns_and_refusals_of_a_bucket(client, request):
    root = put(client, request, "a.wav", "b.wav")
    put_text(client, root, **{"metadata.csv": "a|ann|hello\nb|ann|good bye\n"})
    texts, errors = told(root)
    assert set(texts.values()) == {(None, None)} and "manifest.columns" in errors["metadata.csv"]
    declared = {"a.wav": ("hello", "ann"), "b.wav": ("good bye", "ann")}
    assert told(root, columns="id|speaker|text") == (declared, {})
    assert told(root / "metadata.csv", columns="id|speaker|text") == (declared, {})


def test_names_of_a_bucket_are_compared_composed(client, request):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    root = put(client, request, f"{decomposed}.wav", "a.flac", "a.wav")
    put_text(client, root, **{f"{composed}.txt": "coffee", "a.txt": "tea"})
    assert told(root)[0][f"{decomposed}.wav"] == ("coffee", None)
    assert told(root / f"{decomposed}.wav") == ({f"{decomposed}.wav": ("coffee", None)}, {})
    assert told(root / "a.wav") == ({"a.wav": ("tea", None)}, {}), "and not the one beside it"
