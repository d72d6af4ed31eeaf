"""What a sentence brings about later: sentence-to-sentence effects. Asks no model but the embedding one.

As in Thought Anchors (arXiv 2506.19143): the effect of sentence i on a later sentence j is the share of samples that
keep i in which something like j is said, minus that share among the samples that leave i out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rollouts.exceptions import ConfigError
from rollouts.resampling import Resampling, piece, split_sentences
from rollouts.results import Rollouts
from rollouts_anchors.similarity import Embed, Embedder, embedder


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


def sentence_effects(resampling: Resampling, similarity: Embed | Embedder | str, *, threshold: float = 0.8) -> Effects:
    """The effect of every sentence on every later one.

    Every sentence of every sample is embedded, one arm at a time; a hundred samples of a long trace are a million
    sentences.

    Args:
        resampling: What was sampled.
        similarity: Sentences to vectors: a function, `"minilm"` or `"words"`.
        threshold: Cosine from which a sentence counts as said.

    Raises:
        ConfigError: Nothing was sampled.
    """
    if not resampling.arms:
        raise ConfigError("nothing was sampled.")
    embed = embedder(similarity)
    n = len(resampling.trace)
    targets = embed(resampling.trace.pieces)
    said = {i: _said(arm, resampling, targets, embed, threshold) for i, arm in resampling.arms.items()}
    matrix = np.full((n, n), np.nan)
    for i in range(n):
        kept, removed = said.get(i + 1), said.get(i)
        if kept is not None and removed is not None:
            matrix[i, i + 1 :] = (kept - removed)[i + 1 :]
    return Effects(matrix, threshold)


def _said(
    arm: Rollouts, resampling: Resampling, targets: NDArray[np.float32], embed: Embedder, threshold: float
) -> NDArray[np.float64] | None:
    """Share of an arm's samples that say something like each sentence of the trace; None for an empty arm."""
    if not len(arm):
        return None
    style = resampling.trace.style
    owners, sentences = [], []
    for number, response in enumerate(arm):
        text = response.content if response.reasoning is None else response.reasoning
        pieces = [piece(span.text, style) for span in split_sentences(text, style)]
        owners += [number] * len(pieces)
        sentences += pieces
    says = np.zeros((len(arm), len(targets)), dtype=bool)
    if sentences:
        distinct = {sentence: k for k, sentence in enumerate(dict.fromkeys(sentences))}
        near = embed(list(distinct), keep=False) @ targets.T >= threshold
        np.logical_or.at(says, np.array(owners), near[[distinct[s] for s in sentences]])
    return np.asarray(says.mean(axis=0))
