"""What the engine works on: a `Call` (settings made ready), an `Ask` (one prompt of it), a `Job` (one sample).

Knows no provider and no cache, only their Protocols.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rollouts.exceptions import RolloutsError
from rollouts.identity import SampleKey, SampleRequest
from rollouts.results import Failure, Response, Usage

if TYPE_CHECKING:
    from rollouts.engine.budget import Budget
    from rollouts.engine.run import Run
    from rollouts.engine.stores import Store
    from rollouts.retry import RetryPolicy
    from rollouts.transport import Auth, HttpTransport, Prepared
    from rollouts.typing import Conversation, Limiter, ProviderAdapter

Judge = Callable[["Response", "Conversation"], tuple[str | None, str | None]]
"""Did the answer go on from the prefill: verdict and reason."""


class Service:
    """An adapter in use: opened once before the first unsent sample, by whichever worker comes first."""

    def __init__(self, adapter: ProviderAdapter, *, name: str, host: str, credit: str = "") -> None:
        """Take over `adapter`, registered as `name`, speaking to `host`; `credit` says whose it is."""
        self.adapter = adapter
        self.name = name
        self.credit = credit or f"the adapter {name!r}"
        self.host = host
        self.send: Callable[..., Any] | None = getattr(adapter, "send", None)
        self.classify: Callable[..., Any] | None = getattr(adapter, "classify", None)
        self._url: Callable[[Any], str] | None = getattr(adapter, "url", None)
        self.direct = bool(getattr(adapter, "direct", False))
        """True where the server is this process's own, so that no proxy stands before it."""
        self._lock = threading.Lock()
        self._opened = False
        self.answered = False
        """True once any answer came, an error too: the address is right."""
        self.prefilled: set[str] = set()
        """Models that were seen to answer a request with a prefill."""

    def open(self) -> None:
        """Open the adapter unless that was done."""
        if self._opened:
            return
        with self._lock:
            if not self._opened:
                opener = getattr(self.adapter, "open", None)
                if opener is not None:
                    opener()
                self._opened = True

    def url(self, request: SampleRequest) -> str:
        """Where to send: what the adapter encoded, or what it knows only once it is open."""
        return self._url(request.wire) if self._url is not None else request.wire.url

    def close(self) -> None:
        """Close the adapter; it opens again when needed."""
        with self._lock:
            self._opened = False
            closer = getattr(self.adapter, "close", None)
            if closer is not None:
                closer()


@dataclass(slots=True)
class Call:
    """One call's settings, resolved to the parts that do the work. Shared by all its prompts."""

    service: Service
    transport: HttpTransport
    auth: Auth | None
    limiter: Limiter
    policy: RetryPolicy
    store: Store | None
    """Where answers are kept; None with `use_cache=False`."""
    budget: Budget | None
    judge: Judge | None
    timeout: float = 1200.0
    """Seconds an attempt may take."""
    max_concurrency: int = 64
    offline: bool = False
    require_prefill: bool = False
    missing_key: str | None = None
    """What to say when a sample must be sent and no key was found."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The user's extra headers."""
    affinity: str | None = None


class Ask:
    """One prompt under one call: its request, its numbers, and the parts of the wire form that all samples share."""

    __slots__ = (
        "_lock",
        "body",
        "call",
        "dead",
        "first_number",
        "n",
        "pin",
        "prepared",
        "prompt",
        "prompt_index",
        "request",
        "tail",
    )

    def __init__(
        self, call: Call, request: SampleRequest, *, prompt: Any, prompt_index: int, first_number: int, n: int
    ) -> None:
        """Ask `request` for the numbers `first_number` to `first_number + n - 1`."""
        self.call = call
        self.request = request
        self.prompt = prompt
        self.prompt_index = prompt_index
        self.first_number = first_number
        self.n = n
        self.pin: Mapping[str, Any] = request.wire.pin
        """Routing that the package chose, merged into the body."""
        self.dead: RolloutsError | None = None
        """Set when the service said what dooms every sample of this prompt."""
        self.prepared: Prepared | None = None
        self.body = b""
        self.tail = b"}"
        self._lock = threading.Lock()

    def prepare(self) -> Prepared | None:
        """Make the shared wire form, once; done by the first worker so that cached prompts cost nothing."""
        with self._lock:
            if not self.body:
                wire, call = self.request.wire, self.call
                prepared = None
                if call.service.send is None:
                    prepared = call.transport.prepare(
                        call.service.url(self.request),
                        {**wire.headers, **call.headers},
                        call.auth,
                        direct=call.service.direct,
                    )
                text = json.dumps(merged(wire.body, self.pin), separators=(",", ":"), allow_nan=False)
                # The number goes in as the last member, so that the body is rendered once per prompt.
                if wire.seed_field is not None:
                    self.tail = f"{',' if len(text) > 2 else ''}{json.dumps(wire.seed_field)}:%d}}".encode()
                    self.body = text[:-1].encode()
                else:
                    self.tail, self.body = b"", text.encode()
                self.prepared = prepared  # last: other workers take it as the sign that all is there
            return self.prepared

    def stay(self, pin: Mapping[str, Any] | None) -> bool:
        """Go on with the routing that a stored sample of this request was got with; False where nothing changes.

        A set of samples that grows must not be mixed because a better routing was learned meanwhile.
        """
        with self._lock:
            if not pin or self.body or self.pin == pin:
                return False
            self.pin = pin
            return True

    def body_for(self, number: int) -> bytes:
        """The JSON body of one sample."""
        return self.body + (self.tail % number if self.tail else b"")


def merged(body: Mapping[str, Any], pin: Mapping[str, Any]) -> dict[str, Any]:
    """The body as it goes out, but for the seed: with the routing that the package chose."""
    sent = dict(body)
    for name, value in pin.items():
        given = sent.get(name)
        sent[name] = {**value, **given} if isinstance(value, Mapping) and isinstance(given, Mapping) else value
    return sent


class Job:
    """One sample to be had: its prompt, its number, and the run that wants it."""

    # A cached sample has a job for a moment only: what the work on the others brings lies in `__dict__` when it comes.
    __slots__ = ("__dict__", "ask", "number", "run")

    taken = False
    """True when its run has its result."""
    given: Response | None = None
    """An answer that another run got for us and that is still to be stored in our cache."""
    requests = 0
    retries = 0
    billed = 0
    """Attempts without an answer that the service may charge all the same."""
    paid: Usage | None = None
    """What its own answer took, where one that was stored before stands in its place."""
    waited_for_limit = 0.0
    """Seconds."""
    waited_for_retry = 0.0
    """Seconds."""

    def __init__(self, ask: Ask, number: int, run: Run) -> None:
        """Want sample `number` of `ask` for `run`."""
        self.ask = ask
        self.number = number
        self.run = run

    @property
    def key(self) -> SampleKey:
        """The sample's identity."""
        return SampleKey(self.ask.request, self.number)

    @property
    def index(self) -> int:
        """Position among the samples of its prompt."""
        return self.number - self.ask.first_number

    def failure(self, kind: str, error: RolloutsError | None = None, attempts: int = 0) -> Failure:
        """The `Failure` that stands in this sample's slot."""
        return Failure(
            kind=kind,  # type: ignore[arg-type]
            error=error,
            seed=self.number,
            index=self.index,
            prompt_index=self.ask.prompt_index,
            prompt=self.ask.prompt,
            attempts=attempts,
        )

    def describe(self) -> str:
        """How messages name this sample: `sample 17 of "What is…"`."""
        return f'sample {self.number} of "{shorten(self.ask.prompt)}"'


def shorten(prompt: Any, width: int = 40) -> str:
    """The beginning of a prompt, on one line, for messages."""
    if not isinstance(prompt, str):
        try:
            prompt = prompt[-1]["content"]
        except (TypeError, LookupError):
            prompt = str(prompt)
    text = " ".join(str(prompt).split())
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= width else text[: width - 1] + "…"
