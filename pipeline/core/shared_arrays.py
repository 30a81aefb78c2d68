"""Arrays in shared memory, which worker processes map instead of having a copy each."""

import os
import tempfile
from collections.abc import Iterable, Sequence
from functools import cached_property
from multiprocessing import reduction
from typing import IO, Any

import numpy as np

from clean_corpus.pipeline.core.errors import ConfigError

Layout = list[tuple[str, tuple[int, ...]]]


class SharedArrays(Sequence[np.ndarray]):
    """A list of arrays that is pickled as a file without a name, which all processes map.

    The file is written once, for the first process, and ends with the last. Arrays of other processes are read-only.
    Shapes: any, each its own, as are types.
    Raises: ConfigError when pickled, if the folder of temporary files has no room for it.
    """

    def __init__(self, arrays: Iterable[np.ndarray]) -> None:
        self._arrays = list(arrays)

    def __getitem__(self, index: Any) -> Any:
        return self._arrays[index]

    def __len__(self) -> int:
        return len(self._arrays)

    def __reduce__(self) -> tuple[Any, ...]:
        layout: Layout = [(x.dtype.str, x.shape) for x in self._arrays]
        return _attach, (reduction.DupFd(self._file.fileno()), layout)

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


def _attach(handle: Any, layout: Layout) -> SharedArrays:
    arrays, offset = [], 0
    with os.fdopen(handle.detach(), "rb") as file:
        whole = np.memmap(file, mode="r") if os.fstat(file.fileno()).st_size else np.zeros(0, np.uint8)
    for dtype, shape in layout:
        size = np.dtype(dtype).itemsize * int(np.prod(shape))
        arrays.append(np.asarray(whole[offset : offset + size]).view(dtype).reshape(shape))
        offset += size
    return SharedArrays(arrays)
