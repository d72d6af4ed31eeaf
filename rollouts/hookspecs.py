"""Every hook of rollouts, in two groups: registration (called once) and events (called as things happen).

A plugin is a module, found through an entry point of the group `rollouts`, with functions marked `@hookimpl`:

    from rollouts.hookspecs import hookimpl

    @hookimpl
    def rollouts_register_caches():
        return [Spec(name="memory", factory=MemoryCache, description="kept until the process ends")]

Name only the arguments that you use; give them no defaults (pluggy versions differ in what they do with one).
Import your library inside the factory: registering must cost next to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from rollouts.events import RetryEvent, RunEnd, RunStart, SampleEvent
    from rollouts.typing import AdapterSpec, Spec, TemplateSpec, TransformSpec

hookspec = pluggy.HookspecMarker("rollouts")
hookimpl = pluggy.HookimplMarker("rollouts")
"""Marks a function of a plugin as the implementation of the hook whose name it has."""


def deprecated(hook: str, since: str, until: str, **arguments: str) -> dict[str, Warning]:
    """The warnings for arguments of a hook that will go, for `@hookspec(warn_on_impl_args=deprecated(...))`.

    A plugin that names such an argument goes on working: its author is warned when it is registered, and
    `rollouts plugins` calls it doubtful. An argument is deprecated in one minor version at least before it goes.

    Args:
        hook: The hook's name.
        since: The version that deprecates them.
        until: The version without them.
        **arguments: What to use in place of each.
    """
    return {
        name: DeprecationWarning(
            f"{hook}: the argument {name!r} is deprecated since rollouts {since} and goes in {until}; use {instead}"
        )
        for name, instead in arguments.items()
    }


# ── Registration: called once per client, when a name is first looked up ────────────────────────────────


@hookspec
def rollouts_register_adapters() -> Sequence[AdapterSpec]:  # type: ignore[empty-body]
    """Offer adapters: the code that speaks a service's API.

    When: once per client, on the thread that builds the first request. Before any look-up in a cache.
    Returns: specs; an empty list or None for none. Every plugin's answer is used.
    Errors: an exception breaks this plugin alone; using its names raises `PluginError` from it.
    Ownership: the client owns what the factory makes and closes it.

        @hookimpl
        def rollouts_register_adapters():
            return [AdapterSpec(name="acme", factory=make, base_url="https://api.acme.example/v1",
                                key_variable="ACME_API_KEY", hosts=("api.acme.example",))]
    """


@hookspec
def rollouts_register_caches() -> Sequence[Spec]:  # type: ignore[empty-body]
    """Offer cache backends: `factory(CacheOptions) -> CacheBackend`, chosen by `use_cache="name"`.

    When: once per client, when a cache is first wanted. The factory is called once per `cache_dir` and options.
    Returns: specs; an empty list or None for none.
    Errors: an exception breaks this plugin alone.
    Ownership: the client owns the backend and closes it; `load_many` and `store` are called from many threads.

        @hookimpl
        def rollouts_register_caches():
            return [Spec(name="memory", factory=MemoryCache, description="kept in this process")]
    """


@hookspec
def rollouts_register_limiters() -> Sequence[Spec]:  # type: ignore[empty-body]
    """Offer limiters: `factory(LimiterOptions) -> Limiter`, chosen by `limiter="name"`.

    When: once per client, before the first request of a run. One limiter serves one scope and client; state to
    be shared in the process belongs to `options.scope`.
    Returns: specs; an empty list or None for none.
    Errors: an exception breaks this plugin alone.
    Ownership: the client owns the limiter; `acquire` and `settle` are called on worker threads.

        @hookimpl
        def rollouts_register_limiters():
            return [Spec(name="polite", factory=PoliteLimiter, description="one request a second")]
    """


@hookspec
def rollouts_register_think_templates() -> Sequence[TemplateSpec]:  # type: ignore[empty-body]
    """Offer think templates: `factory() -> ThinkTemplate`, chosen by the model's name or `template="name"`.

    When: once per client, when the first prompt is parsed. Before any look-up in a cache.
    Returns: specs; an empty list or None for none. The longest matching pattern wins.
    Errors: an exception breaks this plugin alone.
    Ownership: a template is stateless and shared by all threads.

        @hookimpl
        def rollouts_register_think_templates():
            return [TemplateSpec(name="brackets", factory=Brackets, models=("acme/thinker*",))]
    """


@hookspec
def rollouts_register_transforms() -> Sequence[TransformSpec]:  # type: ignore[empty-body]
    """Offer transforms of prompts or answers, chosen by `transforms=["name", …]`.

    When: once per client. Prompt transforms run once per prompt before its identity is taken, response transforms
    once per sample after it was loaded or stored; both on the coordinating thread.
    Returns: specs; an empty list or None for none.
    Errors: what a transform raises reaches the caller as `PluginError`; no stored sample is touched.
    Ownership: transforms are plain functions that return a new value.

        @hookimpl
        def rollouts_register_transforms():
            return [TransformSpec(name="shout", factory=lambda: shout, acts_on="prompt")]
    """


@hookspec
def rollouts_register_splitters() -> Sequence[Spec]:  # type: ignore[empty-body]
    """Offer sentence splitters: `factory() -> Splitter`, chosen by `style="name"`.

    When: once per client, when a trace is first cut.
    Returns: specs; an empty list or None for none.
    Errors: an exception breaks this plugin alone.
    Ownership: a splitter is a plain function, and lossless: its pieces joined are the text.

        @hookimpl
        def rollouts_register_splitters():
            return [Spec(name="lines", factory=lambda: split_lines)]
    """


@hookspec
def rollouts_register_progress() -> Sequence[Spec]:  # type: ignore[empty-body]
    """Offer progress reporters: `factory(ProgressOptions) -> Progress`, chosen by `progress="name"`.

    When: once per client; the factory once per run that shows progress.
    Returns: specs; an empty list or None for none.
    Errors: a reporter that raises is logged once and dropped; it never costs a sample.
    Ownership: a reporter belongs to one run and is touched by one thread.

        @hookimpl
        def rollouts_register_progress():
            return [Spec(name="dots", factory=Dots, description="one dot a sample")]
    """


@hookspec
def rollouts_register_executors() -> Sequence[Spec]:  # type: ignore[empty-body]
    """Offer executors: `factory(ExecutorOptions) -> concurrent.futures.Executor`, chosen by `executor="name"`.

    When: once per client, when the first sample must be asked.
    Returns: specs; an empty list or None for none.
    Errors: an exception breaks this plugin alone.
    Ownership: the client shuts down what its factory made, never what the user passed as an object.

        @hookimpl
        def rollouts_register_executors():
            return [Spec(name="threads", factory=make, description="threads of this process")]
    """


@hookspec
def rollouts_register_commands() -> Sequence[Spec]:  # type: ignore[empty-body]
    """Offer sub-commands of `rollouts`: `factory(subparsers)` adds one and sets the default `run`.

    When: once per start of the command line, never by a client.
    Returns: specs; an empty list or None for none.
    Errors: an exception leaves the other commands alone.
    Ownership: `run(arguments) -> int` gives the exit code.

        @hookimpl
        def rollouts_register_commands():
            return [Spec(name="hello", factory=add_hello, description="says hello")]
    """


# ── Events: observers; what they raise is logged once and costs nothing ─────────────────────────────────


@hookspec
def rollouts_on_run_start(event: RunStart) -> None:
    """Note that a run begins.

    When: once per run, on the coordinating thread, before the cache is asked.
    Returns: ignored. Errors: logged once per plugin. Ownership: the event is read-only.

        @hookimpl
        def rollouts_on_run_start(event):
            print("asking", event.model)
    """


@hookspec
def rollouts_on_sample(event: SampleEvent) -> None:
    """Note that a sample is done.

    When: once per sample, cached ones too, on the coordinating thread, after it is durable; never per token.
    Returns: ignored. Errors: logged once per plugin. Ownership: the event is read-only.

        @hookimpl
        def rollouts_on_sample(event):
            tally[event.result.seed] = event.cached
    """


@hookspec
def rollouts_on_retry(event: RetryEvent) -> None:
    """Note that a request failed and will be tried again.

    When: once per failed attempt that has a successor, on a worker thread, before its wait.
    Returns: ignored. Errors: logged once per plugin. Ownership: the event is read-only.

        @hookimpl
        def rollouts_on_retry(event):
            print(event.outcome.message, "again in", event.wait, "s")
    """


@hookspec
def rollouts_on_run_end(event: RunEnd) -> None:
    """Note that a run is over.

    When: once per run that began, on the coordinating thread, also after an error or Ctrl-C.
    Returns: ignored. Errors: logged once per plugin. Ownership: the event is read-only.

        @hookimpl
        def rollouts_on_run_end(event):
            print(event.requests, "requests,", event.cached, "cached")
    """
