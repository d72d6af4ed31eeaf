"""A thought cut into sentences, and the prompts that go on from any of them. Sends nothing.

White space is handled here and nowhere else: a prefix never ends in white space. What stood between two sentences is
left to the model to write again (`suffix` has it), because a prompt that ends in a space or newline is
tokenised otherwise than the text the model wrote.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

from rollouts.exceptions import ConfigError
from rollouts.resampling.splitters import Style, piece, split_sentences
from rollouts.results import Response
from rollouts.typing import Message, Span, ThinkTemplate

Prompt: TypeAlias = str | Sequence[Message]
"""What a client takes: a string (split at `<think>`) or a list of messages (sent as it is)."""

Positions: TypeAlias = str | int | Iterable[int]
"""`"all"`, one sentence's number, or several."""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a model family opens and closes its thought, where it is not `<think>`."""

    open: str = "<think>\n"
    close: str = "\n</think>\n\n"

    @classmethod
    def of(cls, template: ThinkTemplate) -> Dialect:
        """The dialect of a think template; one without marks has a blank line between thought and answer."""
        opened, closing = template.open(""), getattr(template, "closing", "")
        if not closing:
            return cls(opened, "\n\n")
        after_mark = opened.removeprefix(getattr(template, "opening", opened))
        return cls(opened, after_mark + closing + 2 * after_mark)


THINK = Dialect()
_LINE_FEED = "\n"
FORCED_LEAD = "Therefore, the final answer is \\boxed{"
"""What a forced answer begins with, after the closed thought."""


@dataclass(frozen=True, slots=True)
class Trace:
    """One chain of thought: what was asked, the thought, its sentences, and the answer that followed.

    Build it with `Trace.from_response` or `Trace.from_text`.
    """

    question: str | tuple[Message, ...]
    """What was asked, without any thought: text, or a list of messages that ends before the assistant's turn."""
    thought: str
    """The thought, without tags, exactly as it was."""
    answer: str = ""
    """What followed the thought."""
    style: Style = "sentences"
    """How the thought is cut: a splitter's name, or the splitter."""
    dialect: Dialect = THINK
    """How the thought is opened and closed in a prompt."""
    response: Response | None = field(default=None, compare=False, repr=False)
    """The sample that the trace comes from, where there is one."""
    sentences: tuple[Span, ...] = field(init=False, repr=False)
    """The spans of the thought; joined they are the thought."""

    def __post_init__(self) -> None:
        if not self.thought.strip():
            raise ConfigError(
                "the trace has no thought, so there is nothing to resample: give a response whose `thought` is not "
                "empty (a reasoning model, or a prompt that opens `<think>`), or `Trace.from_text(question, text)`."
            )
        object.__setattr__(self, "sentences", tuple(split_sentences(self.thought, self.style)))

    @classmethod
    def from_response(
        cls,
        response: Response,
        question: Prompt | None = None,
        *,
        style: Style = "sentences",
        dialect: Dialect = THINK,
    ) -> Trace:
        """The trace of one sample.

        Args:
            response: A sample with a thought.
            question: What was asked; the sample's own prompt, without the thought that it injected, when None.
            style: How to cut it into sentences.
            dialect: How this model marks its thought.

        Raises:
            ConfigError: No thought, a mere summary of it, or no question.
        """
        if response.reasoning_kind in ("summary", "encrypted"):
            raise ConfigError(
                f"the response's reasoning is of the kind {response.reasoning_kind}, not the thought itself, so "
                "no model can go on from it: use a model or provider that shows its thought."
            )
        asked = response.prompt if question is None else question
        if asked is None:
            raise ConfigError("the response does not know its prompt: pass `question=`.")
        return cls(
            question=_without_thought(asked),
            thought=response.thought or "",
            answer=response.content,
            style=style,
            dialect=dialect,
            response=response,
        )

    @classmethod
    def from_text(cls, question: Prompt, text: str, *, style: Style = "sentences", dialect: Dialect = THINK) -> Trace:
        """The trace in `text`: `thought</think>answer`, an opening tag allowed; without a tag all of it is thought.

        Raises:
            ConfigError: The thought is empty.
        """
        opening, closing = dialect.open.strip(), dialect.close.strip()
        before, mark, after = text.partition(closing) if closing else (text, "", "")
        if opening and before.lstrip().startswith(opening):
            before = before.lstrip()[len(opening) :].removeprefix("\n")
        return cls(_without_thought(question), before, after if mark else "", style=style, dialect=dialect)

    def __len__(self) -> int:
        """How many sentences."""
        return len(self.sentences)

    def sentence(self, i: int) -> str:
        """Sentence `i` without the white space around it."""
        return piece(self.sentences[self.position(i)].text, self.style)

    @property
    def pieces(self) -> tuple[str, ...]:
        """All sentences without the white space around them."""
        return tuple(piece(span.text, self.style) for span in self.sentences)

    def position(self, i: int, *, end: bool = False) -> int:
        """`i`, checked; negative counts from the end. `end` allows the place after the last sentence.

        Raises:
            ConfigError: There is no such sentence.
        """
        last = len(self) - (0 if end else 1)
        at = i + len(self) if i < 0 else i
        if not 0 <= at <= last:
            raise ConfigError(f"there is no position {i}: the trace has {len(self)} sentences, positions 0 to {last}.")
        return at

    def positions(self, wanted: Positions = "all") -> tuple[int, ...]:
        """Checked positions, each once, in order. `"all"`: every sentence.

        The number after the last sentence may be asked for by number: its arm goes on from the whole thought.

        Raises:
            ConfigError: A position out of range, or none at all.
        """
        if isinstance(wanted, str):
            if wanted != "all":
                raise ConfigError(f'positions={wanted!r}: give "all", a number or numbers.')
            return tuple(range(len(self)))
        numbers = [wanted] if isinstance(wanted, int) else list(wanted)
        if not numbers:
            raise ConfigError("positions is empty: give at least one sentence's number.")
        return tuple(sorted({self.position(i, end=True) for i in numbers}))

    def prefix(self, i: int) -> str:
        """Everything before sentence `i`, to the character, without the white space at its end.

        `i` may be the number of sentences: the whole thought.
        """
        at = self.position(i, end=True)
        end = len(self.thought) if at == len(self) else self.sentences[at].start
        return self.thought[:end].rstrip()

    def suffix(self, i: int) -> str:
        """What the prefix leaves out; the two joined are the thought."""
        return self.thought[len(self.prefix(i)) :]

    def prompt(self, i: int) -> Prompt:
        """The prompt that makes the model go on before sentence `i`."""
        return self.prompt_after(self.prefix(i))

    def forced_prompt(self, i: int, lead: str = FORCED_LEAD) -> Prompt:
        """The prompt that closes the thought before sentence `i` and begins the answer with `lead`."""
        prefix = self.prefix(i)
        close = self.dialect.close if prefix else self.dialect.close.lstrip("\n")
        return self.prompt_after(prefix + close + lead)

    def prompt_after(self, thought: str) -> Prompt:
        r"""The prompt that makes the model go on from any `thought`, exactly as given.

        A question in text becomes `question\n<think>\nthought`; a list of messages, or a dialect without `<think>`,
        becomes messages whose last is the assistant's, left open.
        """
        opened = self.dialect.open + thought
        if not opened:
            return self.question  # an empty assistant turn is nothing to go on from
        if not isinstance(self.question, str):
            return [*self.question, {"role": "assistant", "content": opened}]
        if self.dialect.open.startswith("<think>"):
            return f"{self.question.removesuffix(_LINE_FEED)}\n{opened}"
        return [{"role": "user", "content": self.question}, {"role": "assistant", "content": opened}]

    def with_question(self, question: Prompt) -> Trace:
        """The same thought under another question (a transplant)."""
        return replace(self, question=_without_thought(question), response=None)


def transplant(trace: Trace, question: Prompt) -> Trace:
    """The thought of `trace` under another question: resample it to see how far the thought alone leads.

    As in Thought Branches (arXiv 2510.27484): take a hinted trace, remove the hint from the question, and follow the
    share of the hinted answer from prefix to prefix.
    """
    return trace.with_question(question)


def _without_thought(prompt: Any) -> str | tuple[Message, ...]:
    """A prompt without its open assistant turn."""
    if isinstance(prompt, str):
        return prompt.split("<think>", 1)[0].rstrip("\n") if "<think>" in prompt else prompt
    messages: tuple[Message, ...] = tuple(prompt)
    if not all(isinstance(message, Mapping) for message in messages):
        raise ConfigError("a question is text or a list of messages ({'role': …, 'content': …}).")
    if messages and messages[-1].get("role") == "assistant":
        messages = messages[:-1]
    if not messages:
        raise ConfigError("the question has no messages besides the assistant's.")
    return messages
