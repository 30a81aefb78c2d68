"""Arrays that worker processes map, so that none has a copy of its own."""

import os
import tempfile
from collections.abc import Iterable, Sequence
from functools import cached_property
from multiprocessing import reduction
from typing import IO, Any

import numpy as np

from clean_corpus.pipeline.core.errors import ConfigError

About = list[tuple[str, tuple[int, ...]]]


class SharedArrays(Sequence[np.ndarray]):
    """A list of arrays which, on its way to another process, becomes a file without a name that both can read.

    The file is written once, for the first process, and is gone with the last. Arrays there are read-only.
    Shapes: any, each its own, as are types.
    Raises: ConfigError when sent, if the folder of temporary files has no room for it.
    """

    def __init__(self, arrays: Iterable[np.ndarray]) -> None:
        self._arrays = list(arrays)

    def __getitem__(self, index: Any) -> Any:
        return self._arrays[index]

    def __len__(self) -> int:
        return len(self._arrays)

    def __reduce__(self) -> tuple[Any, ...]:
        about: About = [(x.dtype.str, x.shape) for x in self._arrays]
        return _map, (reduction.DupFd(self._file.fileno()), about)

    @cached_property
    def _file(self) -> IO[bytes]:
        file = tempfile.TemporaryFile()  # noqa: SIM115 - open for as long as processes may be started
        try:
            for x in self._arrays:
                file.write(np.ascontiguousarray(x).data)
            file.flush()
        except OSError as error:
            size_gb = sum(x.nbytes for x in self._arrays) / 1e9
            raise ConfigError(
                f"workers: {size_gb:.1f} GB of recordings do not fit into {tempfile.gettempdir()} ({error.strerror}); "
                "set TMPDIR to a larger folder, or workers=0"
            ) from None
        return file


def _map(handle: Any, about: About) -> SharedArrays:
    arrays, at = [], 0
    with os.fdopen(handle.detach(), "rb") as file:
        whole = np.memmap(file, mode="r") if os.fstat(file.fileno()).st_size else np.zeros(0, np.uint8)
    for dtype, shape in about:
        size = np.dtype(dtype).itemsize * int(np.prod(shape))
        arrays.append(np.asarray(whole[at : at + size]).view(dtype).reshape(shape))
        at += size
    return SharedArrays(arrays)
