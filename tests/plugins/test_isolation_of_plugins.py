"""What a broken plugin costs its user: a name in a message, never a sample, never another plugin.

Each is an installed distribution in a process of its own, used by a client of a real server.
"""

from __future__ import annotations

import pytest

ANOTHER = """
class Memory(dict):
    def __init__(self, options): pass
    def load_many(self, keys): return iter(())
    def store(self, key, response): self[key] = response
    def close(self): pass

@hookimpl
def rollouts_register_caches():
    return [Spec(name="memory", factory=Memory)]
"""

BROKEN_AT_ONCE = {
    "import": ("import a_library_that_is_not_there", "ModuleNotFoundError"),
    "end of the interpreter": ("raise SystemExit(3)", "SystemExit"),
    "registration": ("@hookimpl\ndef rollouts_on_sample(event, moon): pass", "PluginValidationError"),
    "a registration hook": ("@hookimpl\ndef rollouts_register_caches(): raise KeyError('k')", "KeyError"),
    "what a hook returns": ("@hookimpl\ndef rollouts_register_caches(): return ['shaky']", "return a list of Spec"),
}


@pytest.mark.parametrize("where", BROKEN_AT_ONCE)
def test_a_plugin_that_breaks_before_it_is_used_costs_nobody_else_anything(install, run, where):
    text, said = BROKEN_AT_ONCE[where]
    install("rollouts-shaky", text)
    install("rollouts-memory", ANOTHER)
    used, answered, other, logged = run("""
        c = client()
        used = error(lambda: c.generate("2+2?", use_cache="shaky"))
        tell(used, len(c.generate("2+2?", 2)), len(c.generate("2+2?", 2, use_cache="memory")), logged)
    """)
    assert used[0] == "PluginError"
    assert "rollouts-shaky 1.0" in used[1]
    assert said in used[1]
    assert (answered, other) == (2, 2)
    assert any("rollouts-shaky 1.0" in line for line in logged)


def offering(kind, body, spec="Spec"):
    """A module that offers `shaky`, a thing of a kind."""
    return f"{body}\n@hookimpl\ndef rollouts_register_{kind}():\n    return [{spec}(name='shaky', factory=Shaky)]\n"


def test_a_factory_that_fails_is_named_before_anything_is_sent(install, run):
    for i, (kind, spec) in enumerate(
        [("caches", "Spec"), ("limiters", "Spec"), ("progress", "Spec"), ("executors", "Spec"),
         ("think_templates", "TemplateSpec"), ("adapters", "AdapterSpec"), ("transforms", "TransformSpec")]
    ):  # fmt: skip
        text = offering(kind, "def Shaky(*args): raise KeyError('lost')", spec).replace("'shaky'", f"'shaky{i}'")
        install(f"rollouts-shaky{i}", text)
    told = run("""
        one = client()
        calls = [
            lambda: one.generate("2+2?", use_cache="shaky0"),
            lambda: one.generate("2+2?", limiter="shaky1"),
            lambda: one.generate("2+2?", 2, progress="shaky2", progress_bar=True),
            lambda: client(executor="shaky3").generate("2+2?"),
            lambda: one.generate("2+2?", template="shaky4"),
            lambda: one.generate("2+2?", adapter="shaky5"),
            lambda: one.generate("2+2?", transforms=["shaky6"]),
        ]
        told = [error(call) for call in calls]
        tell(told, len(server.requests), len(one.generate("2+2?", 3)))
    """)
    for i, (name, message, _) in enumerate(told[0]):
        assert name == "PluginError", message
        assert f"rollouts-shaky{i} 1.0" in message
        assert "KeyError: 'lost'" in message
    assert told[1:] == [0, 3]


def test_an_executor_whose_factory_fails_leaves_the_client_whole(install, run):
    install("rollouts-shaky", offering("executors", "def Shaky(options): raise OSError('no threads')"))
    first, again = run("""
        c = client(executor="shaky")
        tell(error(lambda: c.generate("2+2?", 3)), error(lambda: c.generate("2+2?", 3)))
    """)
    assert first[0] == again[0] == "PluginError"
    assert first[2] in (None, ["not_sent"] * 3)
    assert "rollouts-shaky 1.0" in again[1]


LIMITER = """
import threading
class Shaky:
    def __init__(self, options):
        self.lock, self.n = threading.Lock(), 0
    def acquire(self, request, stop):
        with self.lock:
            self.n += 1
            n = self.n
        if "acquire" == WHERE and n == 3:
            raise KeyError("lost count")
        return Permit(n)
class Permit:
    def __init__(self, n):
        self.n = n
    def settle(self, outcome, usage):
        if "settle" == WHERE and self.n == 3:
            raise KeyError("lost count")
"""


@pytest.mark.parametrize("budget", ["", "max_total_tokens=10**6,"])
@pytest.mark.parametrize("where", ["acquire", "settle"])
def test_a_limiter_that_fails_ends_the_run_and_every_answer_is_kept(install, run, where, budget):
    install("rollouts-shaky", f"WHERE = {where!r}\n" + offering("limiters", LIMITER))
    told, requests, cached = run(f"""
        told = error(lambda: client(limiter="shaky", max_concurrency=1, {budget}).generate("2+2?", 6))
        requests = len(server.requests)
        tell(told, requests, sum(r.cached for r in client().generate("2+2?", 6)))
    """)
    name, message, slots = told
    assert name == "PluginError"
    assert f"the limiter 'shaky' (plugin 'shaky' of rollouts-shaky 1.0) failed in {where}" in message
    assert "rollouts_shaky_module.py, line " in message
    answers = 2 if where == "acquire" else 3
    assert slots == ["answer"] * answers + ["not_sent"] * (6 - answers)
    assert requests == cached == answers


def test_a_limiter_that_fails_gives_back_what_the_others_granted(install, run):
    """The `per-minute` limiter comes after it, the adaptive one would stand still without its permit."""
    install("rollouts-shaky", "WHERE = 'acquire'\n" + offering("limiters", LIMITER))
    assert run("""
        c = client(limiter="shaky", max_concurrency=4)
        for _ in range(5):
            error(lambda: c.generate("2+2?", 6))
        tell(len(client(max_concurrency=2).generate("3+3?", 20)))
    """) == [20]


CACHE = """
class Shaky:
    def __init__(self, options): pass
    def load_many(self, keys):
        for key in keys:
            if WHERE == "load_many":
                raise KeyError("lost")
            if WHERE == "what load_many gives":
                yield key, {"content": "4"}
        return
        yield
    def store(self, key, response):
        if WHERE == "store":
            raise KeyError("lost")
        if WHERE == "exit in store":
            raise SystemExit(1)
    def close(self):
        if WHERE == "close":
            raise KeyError("lost")
"""


@pytest.mark.parametrize("many", ["", "    store_many = lambda self, pairs: [self.store(*pair) for pair in pairs]\n"])
@pytest.mark.parametrize("where", ["store", "exit in store"])
def test_a_cache_that_cannot_store_loses_no_answer_and_is_named_once(install, run, where, many):
    install("rollouts-shaky", f"WHERE = {where!r}\n" + offering("caches", CACHE + many))
    answers, warned = run("tell(len(client(use_cache='shaky').generate('2+2?', 8)), warned)")
    assert answers == 8
    (warning,) = warned
    assert "the cache 'shaky' (plugin 'shaky' of rollouts-shaky 1.0) cannot keep answers" in warning


@pytest.mark.parametrize("where", ["load_many", "what load_many gives"])
def test_a_cache_that_cannot_be_read_is_named_before_anything_is_sent(install, run, where):
    install("rollouts-shaky", f"WHERE = {where!r}\n" + offering("caches", CACHE))
    told, requests, answers = run("""
        c = client()
        told = error(lambda: c.generate("2+2?", 3, use_cache="shaky"))
        tell(told, len(server.requests), len(c.generate("2+2?", 3)))
    """)
    assert told[0] == "CacheError"
    assert "plugin 'shaky' of rollouts-shaky 1.0" in told[1]
    assert (told[2], requests, answers) == (["not_sent"] * 3, 0, 3)


def test_a_cache_that_tells_of_others_samples_or_twice_confuses_nobody(install, run):
    install("rollouts-shaky", offering("caches", """
class Shaky:
    def __init__(self, options): self.kept = {}
    def load_many(self, keys):
        from rollouts.identity import SampleKey
        for key in keys:
            if key in self.kept:
                yield key, self.kept[key]
                yield key, self.kept[key]
                yield SampleKey(key.request, 10**6), self.kept[key]
    def store(self, key, response): self.kept[key] = response
    def close(self): pass
"""))  # fmt: skip
    assert run("""
        c = client(use_cache="shaky")
        tell(len(c.generate("2+2?", 3)), len(c.generate("2+2?", 5)), len(server.requests))
    """) == [3, 5, 5]


def test_a_cache_that_fails_in_close_keeps_nothing_else_open(install, run):
    install("rollouts-shaky", "WHERE = 'close'\n" + offering("caches", CACHE))
    closed, logged = run("""
        c = client(use_cache="shaky")
        c.generate("2+2?")
        c.generate("2+2?", use_cache="sql")
        tell(error(c.close), logged)
    """)
    assert closed is None
    assert any("rollouts-shaky 1.0) failed in close" in line for line in logged)


PROGRESS = """
class Shaky:
    def __init__(self, options): pass
    def start(self, total, cached):
        if WHERE == "start": raise KeyError("lost")
    def advance(self, event):
        if WHERE == "advance": raise KeyError("lost")
    def close(self):
        if WHERE == "close": raise KeyError("lost")
"""


@pytest.mark.parametrize("where", ["start", "advance", "close"])
def test_a_progress_reporter_that_fails_is_dropped_and_named_once(install, run, where):
    install("rollouts-shaky", f"WHERE = {where!r}\n" + offering("progress", PROGRESS))
    answers, logged = run("""
        tell(len(client(progress="shaky", progress_bar=True).generate("2+2?", 8)), logged)
    """)
    assert answers == 8
    (line,) = [line for line in logged if "shaky" in line]
    assert f"rollouts-shaky 1.0) failed in {where} and is left out" in line


@pytest.mark.parametrize("event", ["run_start", "sample", "retry", "run_end"])
def test_an_observer_that_fails_is_logged_once_and_the_others_are_told(install, run, event):
    install("rollouts-shaky", f"@hookimpl\ndef rollouts_on_{event}(event): raise KeyError('lost')")
    install("rollouts-tally", f"seen = []\n@hookimpl\ndef rollouts_on_{event}(event): seen.append(1)")
    answers, seen, logged = run("""
        from rollouts.testing import Reply
        server.reply = lambda r: Reply(status=503) if len(server.requests) < 3 else None
        answers = len(client(max_retries=5).generate("2+2?", 4))
        import rollouts_tally_module
        tell(answers, len(rollouts_tally_module.seen), logged)
    """)
    assert answers == 4
    assert seen >= 1
    lines = [line for line in logged if "rollouts-shaky 1.0" in line]
    assert len(lines) == 1
    assert f"rollouts_on_{event}" in lines[0]


ADAPTER = """
from rollouts.testing import FakeAdapter
class Shaky(FakeAdapter):
    def __init__(self, options):
        super().__init__()
    def encode(self, conversation, settings):
        if WHERE == "encode": raise KeyError("lost")
        return None if WHERE == "no request" else super().encode(conversation, settings)
    def open(self):
        if WHERE == "open": raise KeyError("lost")
    def send(self, request, number, stop):
        if WHERE == "send": raise KeyError("lost")
        return super().send(request, number, stop)
    def classify(self, reply):
        if WHERE == "classify": raise KeyError("lost")
        return "ok" if WHERE == "no outcome" else None
    def decode(self, request, reply):
        if WHERE == "decode": raise KeyError("lost")
        if WHERE == "exit in decode": raise SystemExit(1)
        return None if WHERE == "no response" else super().decode(request, reply)
@hookimpl
def rollouts_register_adapters():
    return [AdapterSpec(name="shaky", factory=Shaky, key_required=False, http=False)]
"""


@pytest.mark.parametrize(
    "where", ["encode", "no request", "open", "send", "classify", "no outcome", "decode", "no response"]
)
def test_an_adapter_that_fails_is_named_and_ends_its_run_alone(install, run, where):
    install("rollouts-shaky", f"WHERE = {where!r}\n{ADAPTER}")
    told, answers = run("""
        c = client(max_concurrency=2, max_total_tokens=10**6)
        told = error(lambda: c.generate("2+2?", 20, adapter="shaky", base_url="http://127.0.0.1:9"))
        tell(told, len(c.generate("2+2?", 3)))
    """)
    assert told[0] == "PluginError", told
    assert "the adapter 'shaky' (plugin 'shaky' of rollouts-shaky 1.0)" in told[1]
    assert answers == 3
    if where not in ("encode", "no request"):
        assert told[2].count("not_sent") + told[2].count("cancelled") >= 16  # two workers, and one sample each


def test_a_plugin_that_ends_its_thread_hangs_no_run(install, run):
    install("rollouts-shaky", f"WHERE = 'exit in decode'\n{ADAPTER}")
    name, _, slots = run("""
        tell(*error(lambda: client(adapter="shaky", max_total_tokens=10**6).generate("2+2?", 3)))
    """)
    assert (name, slots) == ("SamplingError", ["failed"] * 3)


def test_a_think_template_that_fails_is_named(install, run):
    install("rollouts-shaky", offering("think_templates", """
class Shaky:
    def open(self, thought): raise KeyError("lost")
    def split(self, text, prefill): raise KeyError("lost")
""", "TemplateSpec"))  # fmt: skip
    opened, answers = run("""
        c = client()
        opened = error(lambda: c.generate("2+2?\\n<think>\\nTwo", template="shaky"))
        tell(opened, len(c.generate("2+2?", 2)))
    """)
    assert opened[0] == "PluginError"
    assert "rollouts-shaky 1.0" in opened[1]
    assert answers == 2


def test_a_name_that_two_claim_is_an_error_on_use_alone(install, run):
    for name in ("rollouts-one", "rollouts-two"):
        install(name, ANOTHER)
    used, answers = run("""
        c = client()
        tell(error(lambda: c.generate("2+2?", use_cache="memory")), len(c.generate("2+2?", 2)))
    """)
    assert used[0] == "PluginError"
    assert "rollouts-one 1.0" in used[1]
    assert "rollouts-two 1.0" in used[1]
    assert answers == 2


@pytest.mark.parametrize("how", ["Requires-Dist", "rollouts_requires"])
def test_a_plugin_that_needs_a_newer_rollouts_says_so_when_it_is_used(install, run, how):
    if how == "Requires-Dist":
        install("rollouts-memory", ANOTHER, requires=("rollouts>=99.1",))
    else:
        install("rollouts-memory", f"rollouts_requires = '>=99.1'\n{ANOTHER}")
    used, answers = run("""
        c = client()
        tell(error(lambda: c.generate("2+2?", use_cache="memory")), len(c.generate("2+2?", 2)))
    """)
    assert used[0] == "PluginError"
    assert "rollouts-memory 1.0" in used[1]
    assert "needs rollouts>=99.1, and this is rollouts 0.2.0" in used[1]
    assert answers == 2


MISSPELT = "@hookimpl\ndef rollouts_register_cache(): return []"


@pytest.mark.parametrize(
    ("environ", "answers"),
    [
        ({}, True),
        ({"ROLLOUTS_STRICT_PLUGINS": "1"}, False),
        ({"ROLLOUTS_STRICT_PLUGINS": "1", "ROLLOUTS_DISABLE_PLUGINS": "rollouts-shaky"}, True),
        ({"ROLLOUTS_STRICT_PLUGINS": "1", "ROLLOUTS_PLUGIN_AUTOLOAD": "0"}, True),
        ({"ROLLOUTS_STRICT_PLUGINS": "0"}, True),
    ],
)
@pytest.mark.parametrize("text", ["1/0", MISSPELT])
def test_strict_refuses_what_is_broken_or_doubtful_unless_it_is_switched_off(install, run, text, environ, answers):
    install("rollouts-shaky", text)
    told = run("c = client()\ntell(error(lambda: c.generate('2+2?', 2)), len(server.requests))", **environ)
    if answers:
        assert told == [None, 2]
    else:
        assert told[0][0] == "PluginError"
        assert "rollouts-shaky 1.0" in told[0][1]
        assert told[1] == 0
