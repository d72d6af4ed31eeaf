"""What a sentence brings about later: sentence-to-sentence effects. Asks no model but the embedding one.

As in Thought Anchors (arXiv 2506.19143): the effect of sentence i on a later sentence j is the share of samples that
keep i in which something like j is said, minus that share among the samples that leave i out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rollouts.exceptions import ConfigError
from rollouts.resampling import Resampling, piece, split_sentences
from rollouts.results import Rollouts
from rollouts_anchors.similarity import ROUNDING, Embed, Embedder, check_threshold, embedder


@dataclass(frozen=True, slots=True)
class Link:
    """One sentence's effect on a later one."""

    source: int
    target: int
    weight: float


@dataclass(frozen=True, slots=True, eq=False)
class Effects:
    """The effects of every sentence on every later one."""

    matrix: NDArray[np.float64]
    """Row: the earlier sentence, column: the later one. NaN means that an arm is missing, or that the column's sentence
    is not later than the row's."""
    threshold: float

    def get(self, source: int, target: int) -> float | None:
        """The effect of one sentence on another; None where it is not known."""
        value = float(self.matrix[source, target])
        return None if np.isnan(value) else value

    def links(self, top: int = 3) -> list[Link]:
        """The `top` strongest positive effects of each sentence."""
        found = []
        for source, row in enumerate(np.nan_to_num(self.matrix, nan=0.0)):
            order = np.argsort(-row, kind="stable")[:top]
            found += [Link(source, int(target), float(row[target])) for target in order if row[target] > 0]
        return found


BATCH = 1024
"""Sentences embedded at once: their vectors are forgotten after, only what they are near to is kept."""


def sentence_effects(resampling: Resampling, similarity: Embed | Embedder | str, *, threshold: float = 0.8) -> Effects:
    """The effect of every sentence on every later one.

    Cost: each distinct sentence of all samples is embedded once, in batches. A hundred samples of a trace of 145
    sentences are a million sentences. `"words"` needs about a minute for them; `"minilm"` does some hundred a second
    on one core, so an hour and more: give a function that uses a GPU, or `positions=` when sampling.

    Args:
        resampling: What was sampled.
        similarity: Sentences to vectors: a function, `"minilm"` or `"words"`.
        threshold: Cosine from which a sentence counts as said.

    Raises:
        ConfigError: Nothing was sampled, or the threshold is no cosine.
    """
    check_threshold(threshold)
    if not resampling.arms:
        raise ConfigError("nothing was sampled.")
    n = len(resampling.trace)
    near = _Near(resampling.trace.pieces, embedder(similarity), threshold)
    by_arm = {id(arm): _said(arm, resampling, near) for arm in resampling.distinct_arms}
    said = {i: by_arm[id(arm)] for i, arm in resampling.arms.items()}
    matrix = np.full((n, n), np.nan)
    for i in range(n):
        kept, removed = said.get(i + 1), said.get(i)
        if kept is not None and removed is not None:
            matrix[i, i + 1 :] = (kept - removed)[i + 1 :]
    return Effects(matrix, threshold)


class _Near:
    """Which sentences of the trace each sentence says; a row of bits for each distinct one."""

    def __init__(self, targets: Sequence[str], embed: Embedder, threshold: float) -> None:
        self.width = len(targets)
        self._embed = embed
        self._targets = embed(targets).T
        self._threshold = threshold
        self._rows: dict[str, int] = {}
        self._bits = np.zeros((BATCH, (self.width + 7) // 8), dtype=np.uint8)

    def bits(self, sentences: Sequence[str]) -> NDArray[np.uint8]:
        """One packed row for each sentence."""
        new = [sentence for sentence in dict.fromkeys(sentences) if sentence not in self._rows]
        for start in range(0, len(new), BATCH):
            batch = new[start : start + BATCH]
            first = len(self._rows)
            if first + len(batch) > len(self._bits):
                self._bits = np.concatenate([self._bits, np.zeros_like(self._bits)])
            close = self._embed(batch, keep=False) @ self._targets >= self._threshold - ROUNDING
            self._bits[first : first + len(batch)] = np.packbits(close, axis=1)
            self._rows.update(zip(batch, range(first, first + len(batch)), strict=True))
        return self._bits[[self._rows[sentence] for sentence in sentences]]


def _said(arm: Rollouts, resampling: Resampling, near: _Near) -> NDArray[np.float64] | None:
    """Share of an arm's samples that say something like each sentence of the trace; None for an empty arm."""
    if not len(arm):
        return None
    style = resampling.trace.style
    sentences: list[str] = []
    begins = []
    for response in arm:
        text = response.content if response.reasoning is None else response.reasoning
        pieces = [piece(span.text, style) for span in split_sentences(text, style)]
        if pieces:
            begins.append(len(sentences))
            sentences += pieces
    if not sentences:
        return np.zeros(near.width)
    each = np.bitwise_or.reduceat(near.bits(sentences), begins, axis=0)
    return np.asarray(np.unpackbits(each, axis=1, count=near.width).sum(axis=0) / len(arm))
