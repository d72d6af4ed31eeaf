"""The rules that every think template keeps.

class TestMine(ThinkTemplateContract):
    def make(self):
        return Mine()
"""

from __future__ import annotations

import threading
from typing import ClassVar

from rollouts.typing import Parts, ThinkTemplate

__all__ = ["ThinkTemplateContract"]

TEXTS = (
    "",
    " ",
    "\n",
    "Four.",
    "So 2 + 2 = 4.\n\nHence 4. ",
    "四 🙂 \ud83d nul \x00 \r\n\u2028",
    "a < b > c </b> [x] {y} | z",
    "<",
    "x" * 100_000,
)
"""Texts without the marks of any family."""


class ThinkTemplateContract:
    """Subclass with `make`."""

    marks: ClassVar[bool] = True
    """False for a family whose text has no marks: all of it is the answer."""

    def make(self) -> ThinkTemplate:
        """The template under test."""
        raise NotImplementedError

    def test_fits_the_protocol(self) -> None:
        """It has `open` and `split`, which give text and `Parts`."""
        template = self.make()
        assert isinstance(template, ThinkTemplate)
        assert isinstance(template.open("So"), str)
        assert isinstance(template.split("Four.", None), Parts)

    def test_the_prefill_ends_with_the_thought_and_says_so(self) -> None:
        """Not a byte of the thought is changed, and nothing follows it: the model writes on from its last one."""
        template = self.make()
        for thought in TEXTS:
            assert template.open(thought).endswith(thought)

    def test_text_without_marks_is_the_answer(self) -> None:
        """Where nothing was injected and nothing is marked there is no thought."""
        template = self.make()
        for text in TEXTS:
            assert template.split(text, None) == Parts(None, text, True)

    def test_no_byte_of_a_text_is_lost_or_counted_twice(self) -> None:
        """After an injected thought, a text that closes nothing is in one part, whole."""
        template = self.make()
        for text in TEXTS:
            parts = template.split(text, template.open("So"))
            assert (parts.reasoning or "") + parts.content == text
            assert parts.completed is not self.marks
            assert (parts.reasoning is not None) is self.marks

    def test_a_prefill_that_opens_no_thought_is_the_beginning_of_the_answer(self) -> None:
        """What follows it is content."""
        assert self.make().split("ur.", "Fo") == Parts(None, "ur.", True)

    def test_what_the_closing_mark_parts_is_reasoning_and_content(self) -> None:
        """For templates that name their mark: an attribute `closing`."""
        template = self.make()
        closing = getattr(template, "closing", None)
        if not closing:
            return
        for text in TEXTS:
            for prefill in (template.open("So"), template.open("")):
                assert template.split(f"{text}{closing}Four.", prefill) == Parts(text, "Four.", True)
        # The prompt may hold a thought that is closed already: then the answer is what goes on.
        assert template.split("ur.", template.open("So") + closing + "Fo") == Parts(None, "ur.", True)

    def test_no_text_makes_it_fail(self) -> None:
        """Marks in any order, alone, twice or cut."""
        template = self.make()
        opening, closing = template.open(""), getattr(template, "closing", "</think>")
        for text in (closing, opening, closing + opening, opening * 2, closing * 2, opening[:-2], closing[:-2]):
            for prefill in (None, "", opening, template.open("So"), closing, text):
                parts = template.split(text, prefill)
                assert isinstance(parts.content, str)
                assert isinstance(parts.completed, bool)

    def test_is_stateless(self) -> None:
        """What it did before, and who else uses it, makes no difference."""
        template = self.make()
        prefill = template.open("So")
        expected = template.split("2 and 2", prefill)
        seen: list[bool] = []

        def work() -> None:
            for _ in range(50):
                template.open("other")
                template.split("other", None)
                seen.append(template.split("2 and 2", prefill) == expected)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert seen == [True] * 200
