"""A language model of the words of one text: a recogniser with it hears them in their order, if they are spoken."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

DISCOUNT = 0.5  # of each count of two or three words, left to words in another order
BEGIN, END = "<s>", "</s>"


def write_trigrams(path: Path, words: Sequence[str]) -> None:
    """Write a trigram model of a text in the format ARPA.

    Source: absolute discounting with back-off, Ney, Essen and Kneser 1994.
    """
    seq = [BEGIN, *words, END]
    ones, twos, threes = Counter(seq[1:]), Counter(pairwise(seq)), Counter(zip(seq, seq[1:], seq[2:], strict=False))
    total = sum(ones.values())
    p_one = {word: count / total for word, count in ones.items()}
    after_one = _followers(twos)
    p_two = {pair: (count - DISCOUNT) / sum(after_one[pair[:1]].values()) for pair, count in twos.items()}
    after_two = _followers(threes)
    lines = ["\\data\\", f"ngram 1={len(ones) + 1}", f"ngram 2={len(twos)}", f"ngram 3={len(threes)}", "", "\\1-grams:"]
    lines.append(f"-99 {BEGIN} {_back_off(after_one.get((BEGIN,), {}), p_one):.4f}")
    for word in sorted(ones):
        lines.append(f"{math.log10(p_one[word]):.4f} {word} {_back_off(after_one.get((word,), {}), p_one):.4f}")
    lines += ["", "\\2-grams:"]
    for first, second in sorted(twos):
        shorter = {word: p_two.get((second, word), 0.0) for word in after_two.get((first, second), {})}
        weight = _back_off(after_two.get((first, second), {}), shorter)
        lines.append(f"{math.log10(p_two[first, second]):.4f} {first} {second} {weight:.4f}")
    lines += ["", "\\3-grams:"]
    for run, count in sorted(threes.items()):
        lines.append(f"{math.log10((count - DISCOUNT) / sum(after_two[run[:2]].values())):.4f} {' '.join(run)}")
    path.write_text("\n".join([*lines, "", "\\end\\", ""]), encoding="utf-8")


def _followers(counts: Mapping[tuple[str, ...], int]) -> dict[tuple[str, ...], dict[str, int]]:
    found: dict[tuple[str, ...], dict[str, int]] = {}
    for run, count in counts.items():
        found.setdefault(run[:-1], {})[run[-1]] = count
    return found


def _back_off(followers: Mapping[str, int], shorter: Mapping[str, float]) -> float:
    """Return the log10 weight of shorter runs after a context, so that all probabilities after it add up to one."""
    if not followers:
        return 0.0
    left = DISCOUNT * len(followers) / sum(followers.values())
    return math.log10(left / max(1 - sum(shorter[word] for word in followers), 1e-6))
