r"""Opens and splits thought that stands between two tags. Knows no model and no server.

Which bytes belong to the tag is fixed here, so that a thought can be injected again token for token:

- The opening tag of a family that writes a line feed after it takes one with it when one follows: `<think>\nSo` and
  `<think>So` both hold the thought `So`. What is injected again with the same opening has the same bytes.
- The closing tag takes nothing: the text before it is thought to the last byte, the text after it is the answer
  from the first byte on. Thought, tag and answer put together are the text that the model wrote.
"""

from __future__ import annotations

from dataclasses import dataclass

from rollouts.typing import Parts


@dataclass(frozen=True, slots=True)
class Tags:
    """A think template made of an opening and a closing tag."""

    opening: str
    """`<think>`."""
    closing: str
    """`</think>`."""
    separator: str = "\n"
    """What `open` writes after the opening tag, and what belongs to the tag where it stands there."""

    def open(self, thought: str) -> str:
        """The prefill that begins the model's reasoning with `thought`; an empty one is legal."""
        return f"{self.opening}{self.separator}{thought}"

    def opened(self, prefill: str) -> str | None:
        """The thought that `prefill` leaves open, without the tag; None where it opens none or closes it."""
        tail = prefill.rpartition(self.closing)[2].lstrip()
        if not tail.startswith(self.opening):
            return None
        return tail.removeprefix(self.opening).removeprefix(self.separator)

    def split(self, text: str, prefill: str | None) -> Parts:
        """Take apart `text`, which the model wrote after `prefill`.

        After an open thought all up to the closing tag is reasoning, everything where there is none. After any
        other prefill the text is the answer. Without a prefill a block in tags at the beginning is reasoning; so is
        what stands before a bare closing tag (the server's chat template wrote the opening one).
        """
        if prefill is not None and self.opened(prefill) is None:
            return Parts(None, text, True)
        if prefill is not None:
            reasoning, tag, content = text.partition(self.closing)
            return Parts(reasoning, content, bool(tag))
        stripped = text.lstrip()
        if stripped.startswith(self.opening):
            thought = stripped.removeprefix(self.opening).removeprefix(self.separator)
            reasoning, tag, content = thought.partition(self.closing)
            return Parts(reasoning, content, bool(tag))
        reasoning, tag, content = text.partition(self.closing)
        if tag and self.opening not in reasoning:
            return Parts(reasoning, content, True)
        return Parts(None, text, True)
