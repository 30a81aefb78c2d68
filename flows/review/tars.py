"""Clips as bytes out of tars, without reading a tar whole: its headers are followed only as far as the clip."""

import tarfile
import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from clean_corpus.pipeline.storage.base import Store

BLOCK = 4 * 2**20  # bytes of one request; a clip of 24 bits has some hundred thousand
CACHED = 64 * 2**20  # bytes of clips that stay in memory
TARS = 256  # whose headers stay known


@dataclass
class _Index:
    """Where the clips of a tar lie, as far as its headers were followed: name -> first byte, size."""

    members: dict[str, tuple[int, int]] = field(default_factory=dict)
    end: int = 0
    is_whole: bool = False


class Tars:
    """Reads single clips of tars, in a folder or in a bucket, and keeps the last ones within a bound of memory."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._indices: OrderedDict[str, _Index] = OrderedDict()
        self._clips: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._size = 0
        self._lock = threading.Lock()
        self._following = threading.Lock()

    def clip(self, key: str, clip_id: str) -> bytes | None:
        """Return the FLAC file of a clip in a tar, None if the tar or the clip in it is not there.

        Raises: StorageError if the storage fails.
        """
        with self._lock:
            if (data := self._clips.get((key, clip_id))) is not None:
                self._clips.move_to_end((key, clip_id))
                return data
        try:
            data = self._read(key, f"{clip_id}.flac")
        except FileNotFoundError:
            return None
        if data is not None:
            self._keep((key, clip_id), data)
        return data

    def _keep(self, name: tuple[str, str], data: bytes) -> None:
        with self._lock:
            if name not in self._clips:
                self._size += len(data)
            self._clips[name] = data
            while self._size > CACHED and len(self._clips) > 1:
                self._size -= len(self._clips.popitem(last=False)[1])

    def _read(self, key: str, name: str) -> bytes | None:
        with self._following:  # one walk through a tar's headers serves all who wait
            index = self._indices.setdefault(key, _Index())
            self._indices.move_to_end(key)
            while len(self._indices) > TARS:
                self._indices.popitem(last=False)
            while name not in index.members and not index.is_whole:
                if (data := self._follow(key, index, name)) is not None:
                    return data
        if name not in index.members:
            return None
        start, size = index.members[name]
        data = self._store.read_range(key, start, size)
        return data if len(data) == size else None

    def _follow(self, key: str, index: _Index, name: str) -> bytes | None:
        """Follow the headers in one more block; return the wanted member if the block holds it whole."""
        block, at = self._store.read_range(key, index.end, BLOCK), index.end
        found = None
        while (place := index.end - at) + tarfile.BLOCKSIZE <= len(block):
            try:
                member = tarfile.TarInfo.frombuf(
                    block[place : place + tarfile.BLOCKSIZE], tarfile.ENCODING, "surrogateescape"
                )
            except tarfile.HeaderError:  # the end of the tar, or no tar
                index.is_whole = True
                return found
            first = index.end + tarfile.BLOCKSIZE
            if member.isreg():
                index.members[member.name] = first, member.size
            if member.name == name and first + member.size <= at + len(block):
                found = block[first - at : first - at + member.size]
            index.end = first + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        if len(block) < tarfile.BLOCKSIZE:
            index.is_whole = True
        return found
