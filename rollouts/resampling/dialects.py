"""How a thought is opened and closed in a prompt. Knows no trace and no service."""

from __future__ import annotations

from dataclasses import dataclass

from rollouts.typing import ThinkTemplate


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a model family opens and closes its thought, where it is not `<think>`."""

    open: str = "<think>\n"
    close: str | None = "\n</think>\n\n"
    """What ends the thought, up to the answer; None where it is not known, so that no answer can be forced."""

    @classmethod
    def of(cls, template: ThinkTemplate) -> Dialect:
        """The dialect of a think template; one without marks has a blank line between thought and answer."""
        opened, closing = template.open(""), getattr(template, "closing", "")
        if not closing:
            return cls(opened, None if opened else "\n\n")
        after_mark = opened.removeprefix(getattr(template, "opening", opened))
        return cls(opened, after_mark + closing + 2 * after_mark)

    @property
    def mark(self) -> str:
        """The mark that ends the thought, without the white space around it; empty where none is known."""
        return (self.close or "").strip()


THINK = Dialect()
