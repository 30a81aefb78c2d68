"""Words that two sequences have in common, in the same order: what was heard against what is written."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher

RUN = 3  # words in a row that occur once in each sequence, and so are surely the same


def common_words(written: Sequence[str], heard: Sequence[str]) -> list[tuple[int, int]]:
    """Return (place in `written`, place in `heard`) of equal words, both rising.

    First come runs of three words that occur once in each sequence, the longest chain of them that is in order in both;
    then the words between. So one passage that differs does not move the others, and time grows with length alone.

    Source: patience diff; anchors as Moreno et al. 1998, "A recursive algorithm for the forced alignment of very long
    audio segments".

    >>> common_words("a b c d e f".split(), "a b c x e f".split())
    [(0, 0), (1, 1), (2, 2), (4, 4), (5, 5)]
    """
    anchors = _rising(_unique_runs(written, heard))
    pairs: set[tuple[int, int]] = {(i + k, j + k) for i, j in anchors for k in range(RUN)}
    last_i = last_j = 0
    for i, j in [*anchors, (len(written), len(heard))]:
        if i > last_i and j > last_j:
            matcher = SequenceMatcher(None, written[last_i:i], heard[last_j:j], autojunk=False)
            pairs |= {(last_i + a + k, last_j + b + k) for a, b, n in matcher.get_matching_blocks() for k in range(n)}
        last_i, last_j = max(last_i, i + RUN), max(last_j, j + RUN)
    return _rising(sorted(pairs))


def _unique_runs(written: Sequence[str], heard: Sequence[str]) -> list[tuple[int, int]]:
    places = []
    for words in (written, heard):
        runs = [tuple(words[at : at + RUN]) for at in range(len(words) - RUN + 1)]
        count = Counter(runs)
        places.append({run: at for at, run in enumerate(runs) if count[run] == 1})
    return sorted((at, places[1][run]) for run, at in places[0].items() if run in places[1])


def _rising(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the longest part of pairs, sorted by their first number, in which both numbers rise."""
    ends: list[int] = []
    at_end: list[int] = []
    before: list[int] = []
    for number, (_, j) in enumerate(pairs):
        length = bisect_left(ends, j)
        before.append(at_end[length - 1] if length else -1)
        if length == len(ends):
            ends.append(j)
            at_end.append(number)
        else:
            ends[length], at_end[length] = j, number
    chain: list[tuple[int, int]] = []
    number = at_end[-1] if at_end else -1
    while number >= 0:
        if not chain or pairs[number][0] < chain[-1][0]:
            chain.append(pairs[number])
        number = before[number]
    return chain[::-1]
