"""Names that manifests give recordings, in every way in which people and programs write them."""

import os
import re
from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from clean_corpus.pipeline.core.errors import ConfigError
from clean_corpus.pipeline.core.locations import SCHEME, Location, S3Folder
from clean_corpus.pipeline.discover.manifest_file import ManifestFile
from clean_corpus.pipeline.discover.recordings import (
    Found,
    composed,
    find_by_name,
    find_by_path,
    find_by_stem,
    stem_of,
)

AUDIO = frozenset(
    b".3gp .aac .aif .aifc .aiff .amr .ape .au .caf .flac .m4a .mka .mkv .mov .mp2 .mp3 .mp4 .mpga .oga .ogg .opus "
    b".raw .rf64 .snd .sph .spx .w64 .wav .wave .weba .webm .wma".split()
)
_BESIDE = (b"clips", b"audio")  # folders of audio besides wavs, Common Voice's first


def find_named(manifest: ManifestFile, name: str, line: int) -> list[Found]:
    """Return the recordings that a row of a table names, with or without extension; note it as missing if none is.

    They lie beside the table, in wavs/ or, if nothing is there, in clips/, audio/ or where the name says below INPUT.

    Raises: ConfigError if the name cannot be of a file of INPUT, or is of several that differ in normalisation alone.
    """
    found = seek_named(manifest, name)
    if not found:
        manifest.add_missing(_join(*_places(manifest, name)[0]), line)
    return found


def seek_named(manifest: ManifestFile, name: str) -> list[Found]:
    """Return the recordings that `find_named` finds; none is no problem.

    Raises: ConfigError as find_named.
    """
    for folder, path in _places(manifest, name):
        for candidates in _near(folder, path):
            found = [match for candidate in candidates for match in one_form(find_by_name(manifest.db, candidate))]
            if found or (found := _other_extension(manifest, candidates)):
                return list(dict.fromkeys(found))
    return []


def _near(folder: bytes, path: bytes) -> Iterator[list[bytes]]:
    """Yield the paths where a table's recordings may lie, those together that all count if they are there."""
    yield [_join(folder, path), _join(folder, b"wavs", path)]
    for other in _BESIDE:
        yield [_join(folder, other, path)]
    yield [os.path.normpath(path)]


def find_file(manifest: ManifestFile, name: str, line: int) -> int | None:
    """Return the number of the recording whose file a JSON row names; note it as missing if there is none.

    It lies where the name says below the manifest's folder or INPUT; one whose extension is missing or another one
    counts if there is no other.

    Raises: ConfigError if the name cannot be of a file of INPUT, or may be of several.
    """
    candidates = [c for folder, path in _places(manifest, name) for c in (_join(folder, path), os.path.normpath(path))]
    for candidate in candidates:
        if found := one_form(find_by_path(manifest.db, candidate)):
            return found[0][0]
    for candidate in candidates:
        found = one_form(find_by_stem(manifest.db, candidate)) or _other_extension(manifest, [candidate])
        if len(found) > 1:
            files = " and ".join(repr(_printable(path)) for _, path in found[:2])
            raise ConfigError(f"{name!r} may be {files}; write the name with its extension")
        if found:
            return found[0][0]
    manifest.add_missing(candidates[0], line)
    return None


def _other_extension(manifest: ManifestFile, candidates: Iterable[bytes]) -> list[Found]:
    """Return the recordings of a name whose extension of audio is another, as after a conversion."""
    stems = [stem_of(path) for path in candidates if os.path.splitext(path)[1].lower() in AUDIO]
    return [found for stem in stems for found in one_form(find_by_stem(manifest.db, stem))]


def one_form(found: list[Found]) -> list[Found]:
    """Return recordings found by one name.

    Raises: ConfigError if their names differ in Unicode normalisation.
    """
    stems = dict.fromkeys(stem_of(path) for _, path in found)
    if len({composed(stem) for stem in stems}) < len(stems):
        files = " and ".join(ascii(_printable(path)) for _, path in found[:2])
        raise ConfigError(f"{files} differ in Unicode normalisation alone, and the name is written as neither")
    return found


def _places(manifest: ManifestFile, name: str) -> list[tuple[bytes, bytes]]:
    """Return what a name may mean, most literal first, as a folder below INPUT and a path below that.

    Raises: ConfigError if it is empty, or an address of something outside INPUT.
    """
    if not name.strip():
        raise ConfigError("the name of the recording is empty")
    if address := re.match(r"(?i)([a-z][a-z0-9+.-]+)://", name):
        if address[1].lower() not in ("file", "s3"):
            raise ConfigError(f"{name[:80]!r} is an address; only files of INPUT are read")
        if address[1].lower() == "s3":
            return [(b"", _key(manifest.root, name))]
    if name[:5].lower() == "file:":
        name = _file_address(name)
    forms = [name] + ([name.replace("\\", "/")] if "\\" in name else [])
    return [place for form in forms for place in _relative(manifest, encode_name(form))]


def _relative(manifest: ManifestFile, path: bytes) -> list[tuple[bytes, bytes]]:
    if not os.path.isabs(path):
        return [(manifest.folder, path)]
    relative = [os.path.relpath(path, root) for root in manifest.roots]
    relative += [os.path.relpath(composed(path), composed(root)) for root in manifest.roots]
    inside = [path for path in relative if not path.startswith(b"..")]
    return [(b"", path) for path in dict.fromkeys(inside or relative[:1])]


def _file_address(name: str) -> str:
    """Return the path of a file:// address.

    Raises: ConfigError if it is of another machine.

    >>> _file_address("file:///a%20b.wav"), _file_address("file:a.wav")
    ('/a b.wav', 'a.wav')
    """
    rest = name[5:]
    if rest.startswith("//"):
        host, slash, rest = rest[2:].partition("/")
        if host.lower() not in ("", "localhost"):
            raise ConfigError(f"{name[:80]!r} is on another machine; only files of INPUT are read")
        rest = slash + rest
    return unquote(rest, errors="surrogateescape")


def _key(root: Location, name: str) -> bytes:
    """Return the name below INPUT of an object's address.

    Raises: ConfigError if it is not below INPUT.
    """
    bucket, _, key = name[len(SCHEME) :].partition("/")
    if not isinstance(root, S3Folder) or bucket != root.bucket or not key.startswith(root.key_prefix):
        raise ConfigError(f"{name[:80]!r} is not below INPUT, {root}")
    return encode_name(root.relative(key))


def _join(*parts: bytes) -> bytes:
    return os.path.normpath(os.path.join(*parts))


def _printable(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")


def encode_name(name: str) -> bytes:
    """Return a file's name as the operating system has it."""
    try:
        return os.fsencode(name)
    except UnicodeEncodeError:  # JSON may escape half a surrogate pair, which no name holds
        return name.encode("utf-8", "backslashreplace")
