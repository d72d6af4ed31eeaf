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
from rollouts.resampling.checking import integer
from rollouts.resampling.dialects import THINK, Dialect
from rollouts.resampling.splitters import Style, piece, split_sentences
from rollouts.results import Response
from rollouts.typing import Message, Span

Prompt: TypeAlias = str | Sequence[Message]
"""What a client takes: a string (split at `<think>`) or a list of messages (sent as it is)."""

Positions: TypeAlias = str | int | Iterable[int]
"""`"all"`, one sentence's number, or several."""

FORCED_LEAD = "Therefore, the final answer is \\boxed{"
"""What a forced answer begins with, after the closed thought."""


@dataclass(frozen=True, slots=True)
class Trace:
    """One chain of thought: what was asked, the thought, its sentences, and the answer that followed.

    Build it with `client.trace`, which knows how the client's model marks thought, or with `Trace.from_response` or
    `Trace.from_text`, whose prompts say `<think>` until a client resamples them.
    """

    question: str | tuple[Message, ...]
    """What was asked, without any thought: text, or a list of messages that ends before the assistant's turn."""
    thought: str
    """The thought, without tags, exactly as it was."""
    answer: str = ""
    """What followed the thought."""
    style: Style = "sentences"
    """How the thought is cut: a splitter's name, or the splitter."""
    dialect: Dialect | None = None
    """How the thought is opened and closed in every prompt; None where that is left to the model that is asked."""
    response: Response | None = field(default=None, compare=False, repr=False)
    """The sample that the trace comes from, where there is one."""
    model_dialect: Dialect = field(default=THINK, repr=False)
    """The marks of the model that is asked, used where no `dialect` was chosen; a client fills them in."""
    sentences: tuple[Span, ...] = field(init=False, repr=False)
    """The spans of the thought; joined they are the thought."""

    def __post_init__(self) -> None:
        if not self.thought.strip():
            raise ConfigError(
                "the trace has no thought, so there is nothing to resample: give a response whose `thought` is not "
                "empty (a reasoning model, or a prompt that opens `<think>`), or `Trace.from_text(question, text)`."
            )
        if not (self.question.strip() if isinstance(self.question, str) else self.question):
            raise ConfigError("the trace has an empty question: give what was asked.")
        object.__setattr__(self, "sentences", tuple(split_sentences(self.thought, self.style)))

    @classmethod
    def from_response(
        cls,
        response: Response,
        question: Prompt | None = None,
        *,
        style: Style = "sentences",
        dialect: Dialect | None = None,
    ) -> Trace:
        """The trace of one sample.

        Args:
            response: A sample with a thought.
            question: What was asked; the sample's own prompt, without the thought that it injected, when None.
            style: How to cut it into sentences.
            dialect: How to mark the thought whatever the model; as the model that is asked does when None.

        Raises:
            ConfigError: No thought, a mere summary of it, or no question.
        """
        if response.reasoning_kind in ("summary", "encrypted"):
            raise ConfigError(
                f"the response's reasoning is of the kind {response.reasoning_kind}, not the thought itself, so "
                "no model can go on from it: use a model or provider that shows its thought."
            )
        if question is None and response.prompt is None:
            raise ConfigError("the response does not know its prompt: pass `question=`.")
        thought = response.thought or ""
        return cls(
            question=_asked_of(response.prompt) if question is None else _question_of(question, thought),
            thought=thought,
            answer=response.content,
            style=style,
            dialect=dialect,
            response=response,
        )

    @classmethod
    def from_text(
        cls, question: Prompt, text: str, *, style: Style = "sentences", dialect: Dialect | None = None
    ) -> Trace:
        """The trace in `text`: `thought</think>answer`, an opening tag allowed; without a tag all of it is thought.

        Args:
            question: What was asked, taken as it is. A prompt that opens `<think>` and goes on with nothing, or with
                the beginning of this thought, is cut before the tag.
            text: The thought, and the answer.
            style: How to cut it into sentences.
            dialect: How to mark the thought whatever the model; as the model that is asked does when None.

        Raises:
            ConfigError: The thought or the question is empty.
        """
        if not isinstance(text, str):
            raise ConfigError(f"the text of a trace is a {type(text).__name__}: give the thought as text.")
        marks = dialect or THINK
        opening, closing = marks.open.strip(), marks.mark
        before, mark, after = text.partition(closing) if closing else (text, "", "")
        if opening and before.lstrip().startswith(opening):
            before = before.lstrip()[len(opening) :].removeprefix("\n")
        return cls(_question_of(question, before), before, after if mark else "", style=style, dialect=dialect)

    @property
    def marks(self) -> Dialect:
        """How the thought is opened and closed in its prompts: as was chosen, else as the model does."""
        return self.dialect or self.model_dialect

    def fitted(self, marks: Dialect) -> Trace:
        """The same trace with the marks of the model that is asked, unless its own were chosen."""
        return self if self.dialect is not None or marks == self.model_dialect else replace(self, model_dialect=marks)

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
        number, last = integer(i), len(self) - (0 if end else 1)
        if number is None:
            raise ConfigError(f"{i!r} is no position: give a sentence's number, 0 to {last}.")
        at = number + len(self) if number < 0 else number
        if not 0 <= at <= last:
            raise ConfigError(f"there is no position {i}: the trace has {len(self)} sentences, positions 0 to {last}.")
        return at

    def positions(self, wanted: Positions = "all") -> tuple[int, ...]:
        """Checked positions, each once, in order. `"all"`: every sentence.

        The number after the last sentence may be asked for by number: its arm goes on from the whole thought.

        Raises:
            ConfigError: A position out of range, or none at all.
        """
        if isinstance(wanted, str) and wanted == "all":
            return tuple(range(len(self)))
        only = integer(wanted)
        if only is None and (isinstance(wanted, str) or not isinstance(wanted, Iterable)):
            raise ConfigError(f'positions={wanted!r}: give "all", a number or numbers.')
        numbers: list[int] = [only] if only is not None else list(wanted)  # type: ignore[arg-type]
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

    def own_number(self, prompt: Sequence[Message]) -> int | None:
        """The number of the trace's own sample where `prompt` is what that one was asked; None for other prompts.

        Among the samples of that prompt it would stand for one that leaves a sentence out, and it has every sentence:
        it was chosen, not drawn.
        """
        if self.response is None or _prompt_of(self.response, self.marks) != list(prompt):
            return None
        return self.response.seed

    def prompt(self, i: int) -> list[Message]:
        """The prompt that makes the model go on before sentence `i`."""
        return self.prompt_after(self.prefix(i))

    def forced_prompt(self, i: int, lead: str = FORCED_LEAD) -> list[Message]:
        """The prompt that closes the thought before sentence `i` and begins the answer with `lead`.

        Raises:
            ConfigError: There is no such sentence, or it is not known how the model closes a thought.
        """
        prefix, close = self.prefix(i), self.marks.close
        if close is None:
            raise ConfigError(
                f"it is not known how a thought that opens with {self.marks.open!r} is closed, so no answer can be "
                "forced: give the think template an attribute `closing`, or the trace a `dialect=Dialect(open, close)`."
            )
        return self.prompt_after(prefix + (close if prefix else close.lstrip("\n")) + lead)

    def prompt_after(self, thought: str) -> list[Message]:
        """The prompt that makes the model go on from any `thought`, exactly as given.

        Messages, which a client sends as they are: a text would be split at `<think>`, and trimmed before it. The last
        one is the assistant's, left open; without marks and thought there is none.
        """
        opened = self.marks.open + thought
        asked = _messages(self.question)
        return [*asked, {"role": "assistant", "content": opened}] if opened else asked

    def with_question(self, question: Prompt) -> Trace:
        """The same thought under another question (a transplant)."""
        return replace(self, question=_question_of(question, self.thought), response=None)


def transplant(trace: Trace, question: Prompt) -> Trace:
    """The thought of `trace` under another question: resample it to see how far the thought alone leads.

    As in Thought Branches (arXiv 2510.27484): take a hinted trace, remove the hint from the question, and follow the
    share of the hinted answer from prefix to prefix.
    """
    return trace.with_question(question)


def _question_of(given: Prompt, thought: str) -> str | tuple[Message, ...]:
    """A question without its open assistant turn.

    A text is taken as it is, `<think>` too where it speaks of one. Only where it goes on with the beginning of this
    very thought (or with nothing) it is a prompt that opened it.
    """
    if not isinstance(given, str):
        return _messages_before(given)
    question, tag, begun = _opened(given)
    return question if tag and thought.startswith(begun.partition(THINK.mark)[0].rstrip()) else given


def _messages(question: str | Sequence[Message]) -> list[Message]:
    return [{"role": "user", "content": question}] if isinstance(question, str) else list(question)


def _asked_of(prompt: Any) -> str | tuple[Message, ...]:
    """The question in a prompt that was sent: what a client makes of it."""
    return _opened(prompt)[0] if isinstance(prompt, str) else _messages_before(prompt)


def _prompt_of(response: Response, marks: Dialect) -> list[Message] | None:
    """What a sample was asked, as the messages that a client makes of it; None where that is not known."""
    prompt = response.prompt
    if not isinstance(prompt, str):
        return None if prompt is None else list(prompt)
    question, tag, begun = _opened(prompt)
    turn = marks.open + begun if tag else ""
    return [*_messages(question), {"role": "assistant", "content": turn}] if turn else _messages(question)


def _opened(prompt: str) -> tuple[str, str, str]:
    """A text taken apart as a client does it: the question, the tag (empty where there is none), the thought begun."""
    before, tag, after = prompt.partition(THINK.open.strip())
    return (before.rstrip(), tag, after.removeprefix("\r").removeprefix("\n")) if tag else (prompt, "", "")


def _messages_before(prompt: Any) -> tuple[Message, ...]:
    messages: tuple[Message, ...] = tuple(prompt) if isinstance(prompt, Sequence) else ()
    if not messages or not all(isinstance(message, Mapping) for message in messages):
        raise ConfigError("a question is text or a list of messages ({'role': …, 'content': …}).")
    if messages[-1].get("role") == "assistant":
        messages = messages[:-1]
    if not messages:
        raise ConfigError("the question has no messages besides the assistant's.")
    return messages
