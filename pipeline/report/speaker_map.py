"""A map of voices: clips as points in the plane, near each other where they sound alike."""

import hashlib
import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup, escape
from numpy.typing import NDArray

from clean_corpus.pipeline.corpus.embeddings import Embedding
from clean_corpus.pipeline.quality.speakers import map_2d

DRAWN = 1500
"""Points of the map: the clips whose names have the smallest hashes."""
COLOURED = 8
"""Speakers with a colour of their own, those with most kept time."""
WIDTH, HEIGHT, MARGIN = 640, 440, 14


class Point(NamedTuple):
    """A clip on the map: its speaker's name and its place, in units of the picture."""

    clip_id: str
    name: str
    x: float
    y: float


def points(rows: Iterable[Embedding]) -> list[Point]:
    """Return the places of a sample of clips; at most DRAWN embeddings are in memory."""
    named = ((row.speaker or row.speaker_auto, row) for row in rows)
    keyed = ((hashlib.sha256(row.clip_id.encode()).hexdigest(), name, row) for name, row in named if name)
    sample = heapq.nsmallest(DRAWN, keyed, key=lambda item: item[0])
    if not sample:
        return []
    places = _fitted(map_2d(np.stack([row.voice for _, _, row in sample])))
    drawn = zip(sample, places.tolist(), strict=True)
    return [Point(row.clip_id, name, round(x, 1), round(y, 1)) for (_, name, row), (x, y) in drawn]


def _fitted(places: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return places scaled alike in both directions, in the middle of the picture."""
    low, high = places.min(0), places.max(0)
    room = np.float32([WIDTH - 2 * MARGIN, HEIGHT - 2 * MARGIN])
    scale = float((room / np.maximum(high - low, 1e-6)).min())
    return (places - (low + high) / 2) * scale + np.float32([WIDTH / 2, HEIGHT / 2])


def svg(found: Sequence[Point], colours: Mapping[str, int], own: str | None = None) -> Markup:
    """Return the map as SVG: speakers in `colours` by class, or the points of one before those of all others."""
    drawn = sorted(found, key=lambda point: point.name == own) if own else found
    parts = []
    for point in drawn:
        colour = ("own" if point.name == own else "other") if own else f"c{colours.get(point.name, COLOURED)}"
        title = escape(f"{point.name}: {point.clip_id}")
        parts.append(f'<circle class="{colour}" cx="{point.x}" cy="{point.y}" r="4"><title>{title}</title></circle>')
    label = "Map of the voices"
    return Markup(
        f'<svg class="map" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(parts)}</svg>'
    )
