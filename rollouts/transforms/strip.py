"""The transform `strip`: answers without white space around them, and alike where they mean the same text."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, cast

from rollouts.exceptions import ConfigError
from rollouts.hookspecs import hookimpl
from rollouts.results import Response
from rollouts.typing import ResponseTransform, TransformSpec

_FORMS = ("NFC", "NFD", "NFKC", "NFKD")


def make(unicode: Any = "NFC", collapse: Any = False) -> ResponseTransform:
    """Take the white space around `content` off; reasoning stays as the model wrote it.

    Args:
        unicode: Unicode normal form of the content (`NFC`, `NFKC` …); None leaves it as it is.
        collapse: True makes one space of every run of white space inside.

    Raises:
        ConfigError: No such normal form, or `collapse` is not True or False.
    """
    if unicode is not None and unicode not in _FORMS:
        raise ConfigError(f"the transform 'strip': unicode={unicode!r} is none of {', '.join(_FORMS)} and None.")
    if not isinstance(collapse, bool):
        raise ConfigError(f"the transform 'strip': collapse={collapse!r} is not True or False.")
    form = cast(Literal["NFC"] | None, unicode)

    def strip(response: Response) -> Response:
        content = response.content.strip()
        if form is not None:
            content = unicodedata.normalize(form, content)
        if collapse:
            content = " ".join(content.split())
        return response if content == response.content else replace(response, content=content)

    return strip


@hookimpl
def rollouts_register_transforms() -> Sequence[TransformSpec]:
    """Offer `strip`."""
    return [
        TransformSpec(
            name="strip", factory=make, acts_on="response", order=10, description="answers without white space around"
        )
    ]
