"""Where a sample's JSON file lies below `cache_dir`. Names only: knows nothing of files and of what is in them."""

from __future__ import annotations

import hashlib
import re
from typing import Any

from rollouts.identity import SampleRequest

_UNSAFE = re.compile(r"[^A-Za-z0-9._+=,-]")
_LONGEST_NAME = 100
# Names that Windows keeps for devices, whatever follows the first dot.
_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com\d|lpt\d)(\.|$)")
_SHORT = (("t", "temperature"), ("p", "top_p"), ("tok", "max_tokens"))
_SHORT_OPTIONAL = (("tk", "top_k"), ("pp", "presence_penalty"), ("fp", "frequency_penalty"))


def request_path(request: SampleRequest) -> str:
    """The folder of a request's samples, relative to `cache_dir`, with `/` between its four names."""
    prompt = request.prompt_digest
    return f"{model_name(request.model)}/{parameters_name(request)}/{prompt[:3]}/{prompt}"


def sample_name(number: int, suffix: int = 0) -> str:
    """The file of one sample; `suffix` counts up where other requests' files have the name."""
    return f"seed_{number:05d}_{suffix}.json" if suffix else f"seed_{number:05d}.json"


def model_name(model: str) -> str:
    """A folder's name for a model: readable and harmless, not unique (the parameters' hash holds the exact name)."""
    name = _UNSAFE.sub("_", model.replace("/", "-").replace(":", "").replace("@", "-at-"))
    if name[:1] in ("", ".") or _DEVICES.match(name):
        name = "_" + name
    if len(name) > _LONGEST_NAME:
        digest = hashlib.sha256(model.encode("utf-8", "surrogatepass")).hexdigest()
        name = f"{name[: _LONGEST_NAME - 9]}-{digest[:8]}"
    return name[:-1] + "_" if name.endswith(".") else name  # Windows drops a dot at the end


def parameters_name(request: SampleRequest) -> str:
    """A folder's name for a request without its prompt: `t0.7_p0.95_tok1000-` and 16 digits of its hash."""
    body = request.document["body"]
    parts = [f"{short}{_number(body[name]) if name in body else 'def'}" for short, name in _SHORT]
    parts += [f"{short}{_number(body[name])}" for short, name in _SHORT_OPTIONAL if name in body]
    return f"{'_'.join(parts)}-{request.parameters_digest[:16]}"


def _number(value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        text = f"{value:.12g}" if isinstance(value, float) else str(value)
        if len(text) <= 16:
            return text
    return "x"
