"""What every cache backend must do, as tests: subclass `CacheContract`, say how a backend is made, run pytest.

    class TestMyCache(CacheContract):
        def make(self, directory):
            return MyCache(directory / "answers.db")

Each test gets a directory of its own. A backend that promises less says so in the class (`persistent = False`).
"""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from rollouts.exceptions import CacheError
from rollouts.identity import SampleKey, SampleRequest
from rollouts.results import Response, Usage
from rollouts.results.codec import STORED_FIELDS
from rollouts.testing.contracts.processes import Child, bound_by_rights, let_others_pass
from rollouts.testing.contracts.samples import PlainTemplate, sample_request, sample_response
from rollouts.typing import CacheBackend

__all__ = ["CacheContract", "Child", "PlainTemplate", "sample_request", "sample_response"]


class CacheContract:
    """The rules of a cache backend. Override `make`; everything else is tested through the protocol."""

    persistent: ClassVar[bool] = True
    """True where a second backend, made for the same directory, has what the first one stored."""
    across_processes: ClassVar[bool] = True
    """True where several processes may use one directory; implies `persistent`."""
    keeps_raw: ClassVar[bool] = True
    """True where the raw body comes back."""

    def make(self, directory: Path) -> CacheBackend:
        """A backend that keeps its answers in `directory` (which is there, and empty at first)."""
        raise NotImplementedError

    # ── One backend ──

    def test_all_that_the_service_said_comes_back(self, tmp_path: Path) -> None:
        """Every stored field, the raw body, and what belongs to the request."""
        request = sample_request("四 \ud83d", prefill="<think>\nI", thought="I")
        said = sample_response(3, full=True)
        with self._made(tmp_path) as cache:
            cache.store(SampleKey(request, 3), said)
            [(key, found)] = list(cache.load_many([SampleKey(request, 3)]))
            assert key == (request, 3)
            for name in (*STORED_FIELDS, "usage"):
                assert getattr(found, name) == getattr(said, name), name
            assert (found.cached, found.seed, found.prefill, found.injected) == (True, 3, "<think>\nI", "I")
            if self.keeps_raw:
                assert found.raw_body == said.raw_body
                assert found.raw == said.raw

    def test_an_answer_with_nothing_but_text_comes_back(self, tmp_path: Path) -> None:
        """Unknown stays None, and an empty content stays empty."""
        request = sample_request()
        said = [Response(content="", reasoning="cut", completed_reasoning=False), Response(content="\ud83d")]
        with self._made(tmp_path) as cache:
            for number, response in enumerate(said):
                cache.store(SampleKey(request, number), response)
            found = _load(cache, request, range(2))
            assert [(r.content, r.reasoning, r.usage, r.raw_body) for r in found.values()] == [
                (r.content, r.reasoning, Usage(), None) for r in said
            ]

    def test_any_raw_body_comes_back(self, tmp_path: Path) -> None:
        """Bodies that are not JSON, not UTF-8, have line breaks, or are empty, harm nothing."""
        request = sample_request()
        bodies = [b'{"a":\n 1}', b"\xff\xfe{}", b"data: 1\n\ndata: 2", b"", b"null", b'{"a": NaN}', b"\xef\xbb\xbf{}"]
        with self._made(tmp_path) as cache:
            for number, body in enumerate(bodies):
                cache.store(SampleKey(request, number), Response(content="x", raw_source=body))
            found = _load(cache, request, range(len(bodies)))
            assert len(found) == len(bodies)
            if self.keeps_raw:
                assert [r.raw_body for r in found.values()] == bodies

    def test_each_number_is_a_sample_of_its_own(self, tmp_path: Path) -> None:
        """Small, large and negative numbers; what was not stored is not found."""
        request = sample_request()
        numbers = [0, 1, 9, 10, 99_999, 100_000, 2**53, -1]
        with self._made(tmp_path) as cache:
            for number in numbers:
                cache.store(SampleKey(request, number), sample_response(number))
            found = _load(cache, request, [*numbers, 2, 11, -2])
            assert {number: r.content for number, r in found.items()} == {n: f"Four. ({n})" for n in numbers}

    def test_another_request_is_a_miss(self, tmp_path: Path) -> None:
        """Whatever differs: prompt, any body field, header, service, model, adapter, even letter case alone."""
        others = [
            sample_request("What is 2 + 2? "),
            sample_request(body={"temperature": 0.7}),
            sample_request(body={"unheard_of": None}),
            sample_request(headers={"X-A": "1"}),
            sample_request(service="https://other.invalid/v1"),
            sample_request(model="maker/Model"),
            sample_request(model="maker-model"),
            sample_request(adapter="other"),
            sample_request(prefill="F"),
        ]
        with self._made(tmp_path) as cache:
            cache.store(SampleKey(sample_request(), 0), sample_response(0))
            assert list(cache.load_many(SampleKey(other, 0) for other in others)) == []
            for number, other in enumerate(others):
                cache.store(SampleKey(other, 0), sample_response(number, "other"))
            assert [_load(cache, other, [0])[0].content for other in others] == [
                f"other ({number})" for number in range(len(others))
            ]
            assert _load(cache, sample_request(), [0])[0].content == "Four. (0)"

    def test_an_equal_request_is_a_hit(self, tmp_path: Path) -> None:
        """The order of keys, 1 for 1.0, and a header's case make no difference."""
        stored = sample_request(body={"temperature": 1, "top_p": 0.5, "stop": ["a"]}, headers={"X-A": "1"})
        asked = sample_request(body={"stop": ("a",), "top_p": 0.5, "temperature": 1.0}, headers={"x-a": "1"})
        with self._made(tmp_path) as cache:
            cache.store(SampleKey(stored, 0), sample_response(0))
            assert list(_load(cache, asked, [0])) == [0]

    def test_one_call_reads_many_prompts(self, tmp_path: Path) -> None:
        """Keys of several requests, mixed, with misses among them."""
        requests = [sample_request(f"prompt {i}") for i in range(7)]
        keys = [SampleKey(request, number) for number in range(4) for request in requests]
        with self._made(tmp_path) as cache:
            for i, key in enumerate(keys[::2]):
                cache.store(key, sample_response(i))
            found = dict(cache.load_many(iter(keys)))
            assert set(found) == set(keys[::2])
            assert [found[key].content for key in keys[::2]] == [f"Four. ({i})" for i in range(len(keys[::2]))]

    def test_keys_are_read_as_they_are_needed(self, tmp_path: Path) -> None:
        """A million keys stream: the first hit comes long before the last key was asked for."""
        request = sample_request()
        taken = 0

        def keys() -> Iterator[SampleKey]:
            nonlocal taken
            for number in range(1_000_000):
                taken += 1
                yield SampleKey(request, number)

        with self._made(tmp_path) as cache:
            cache.store(SampleKey(request, 1), sample_response(1))
            assert next(iter(cache.load_many(keys())))[0].number == 1
            assert taken <= 20_000

    def test_the_first_answer_stays(self, tmp_path: Path) -> None:
        """A second answer to the same sample changes nothing that somebody may have seen."""
        key = SampleKey(sample_request(), 0)
        with self._made(tmp_path) as cache:
            assert cache.store(key, sample_response(0, "first")) is None
            there = cache.store(key, sample_response(0, "second"))
            assert there is None or there.content == "first (0)"
            assert _load(cache, *_one(key))[0].content == "first (0)"

    def test_many_are_stored_at_once(self, tmp_path: Path) -> None:
        """`store_many`, where it is offered, keeps all and lets the first answers stay."""
        request = sample_request()
        with self._made(tmp_path) as cache:
            store_many: Callable[..., Any] | None = getattr(cache, "store_many", None)
            if store_many is None:
                return
            cache.store(SampleKey(request, 5), sample_response(5, "first"))
            there = store_many((SampleKey(request, number), sample_response(number)) for number in range(300))
            assert not there or {key.number: r.content for key, r in there.items()} == {5: "first (5)"}
            found = _load(cache, request, range(301))
            assert {n: r.content for n, r in found.items()} == {
                n: f"{'first' if n == 5 else 'Four.'} ({n})" for n in range(300)
            }

    def test_threads_share_a_backend(self, tmp_path: Path) -> None:
        """Sixteen threads store and read, some of them the same samples: nothing is lost, nobody fails."""
        request = sample_request()
        with self._made(tmp_path) as cache:

            def work(thread: int) -> None:
                for i in range(20):
                    number = thread * 10 + i  # half of them another thread's too
                    cache.store(SampleKey(request, number), sample_response(number))
                    assert number in _load(cache, request, [number])

            _in_threads(16, work)
            assert list(_load(cache, request, range(200))) == list(range(170))

    def test_what_a_plugin_gave_a_wrong_type_costs_no_answer(self, tmp_path: Path) -> None:
        """Such fields are left out; the text is kept, and is not taken for damaged when it is read."""
        request = sample_request()
        wrong: dict[str, Any] = {"created": "today", "model": 7, "latency": [1], "pin": "x", "finish_reason": 0}
        said = [replace(sample_response(i), **{name: value}) for i, (name, value) in enumerate(wrong.items())]
        said.append(replace(sample_response(9), usage=Usage(prompt_tokens="24", cost=0.5)))  # type: ignore[arg-type]
        with self._made(tmp_path) as cache:
            for number, response in enumerate(said):
                cache.store(SampleKey(request, number), response)
            found = _load(cache, request, range(len(said)))
            assert [r.content for r in found.values()] == [r.content for r in said]
            assert [getattr(r, name) for name, r in zip(wrong, found.values(), strict=False)] == [None] * len(wrong)
            assert found[len(wrong)].usage == Usage(cost=0.5)

    def test_closing_twice_is_harmless(self, tmp_path: Path) -> None:
        """Also where nothing was ever read or stored."""
        unused, used = self.make(_folder(tmp_path, "a")), self.make(_folder(tmp_path, "b"))
        used.store(SampleKey(sample_request(), 0), sample_response(0))
        for cache in (unused, unused, used, used):
            cache.close()

    def test_a_loaded_answer_can_be_pickled(self, tmp_path: Path) -> None:
        """Answers cross processes, raw body included."""
        key = SampleKey(sample_request(), 0)
        with self._made(tmp_path) as cache:
            cache.store(key, sample_response(0))
            found = _load(cache, *_one(key))[0]
            again = pickle.loads(pickle.dumps(found))
            assert (again, again.raw_body) == (found, found.raw_body)

    def test_reading_what_is_not_there_makes_nothing(self, tmp_path: Path) -> None:
        """No directory, no file, no error."""
        folder = tmp_path / "none" / "here"
        cache = self.make(folder)
        assert list(cache.load_many([SampleKey(sample_request(), 0)])) == []
        cache.close()
        assert not folder.parent.exists()

    # ── A directory ──

    def test_another_backend_sees_what_was_stored(self, tmp_path: Path) -> None:
        """After closing, and without."""
        request = sample_request()
        with self._made(tmp_path) as first, self._made(tmp_path) as second:
            if not self.persistent:
                return
            assert _load(second, request, [0, 1]) == {}
            first.store(SampleKey(request, 0), sample_response(0))
            assert list(_load(second, request, [0, 1])) == [0]
            second.store(SampleKey(request, 1), sample_response(1))
            assert list(_load(first, request, [0, 1])) == [0, 1]
        with self._made(tmp_path) as third:
            assert list(_load(third, request, [0, 1])) == [0, 1]

    def test_reading_never_writes(self, tmp_path: Path) -> None:
        """After hits and misses every file has the bytes and the times that it had."""
        if not self.persistent:
            return
        request = sample_request()
        with self._made(tmp_path) as cache:
            for number in range(5):
                cache.store(SampleKey(request, number), sample_response(number))
        before = _tree(tmp_path)
        with self._made(tmp_path) as cache:
            assert len(_load(cache, request, range(10))) == 5
            assert _load(cache, sample_request("never asked"), [0]) == {}
        assert _tree(tmp_path) == before

    def test_no_secret_is_stored_or_shown(self, tmp_path: Path) -> None:
        """User, password and query of the URL that is asked are in no file, no name, and nothing that is shown."""
        secret = "canary-7f3a"
        request = sample_request(url=f"https://me:{secret}@example.invalid/v1/chat/completions?key={secret}")
        key = SampleKey(request, 0)
        with self._made(tmp_path) as cache:
            cache.store(key, sample_response(0, full=True))
            found = _load(cache, *_one(key))[0]
            listed = list(getattr(cache, "entries", list)())
            place = getattr(cache, "place", None)
            shown = [repr(cache), getattr(cache, "location", ""), repr(found), repr(listed), pickle.dumps(found)]
            shown.append(place(key) if place is not None else "")
        assert not [text for text in shown if secret in (text if isinstance(text, str) else text.decode("latin-1"))]
        for name, (_, data) in _tree(tmp_path).items():
            assert secret not in name
            assert secret.encode() not in (data or b""), name

    def test_a_storage_that_cannot_be_written_is_told_and_still_read(self, tmp_path: Path) -> None:
        """In a read-only directory what is there is found, and to store is a `CacheError`. Elsewhere: not tested."""
        if not self._has_processes():
            return
        request, folder = sample_request(), _folder(tmp_path, "read-only")
        with self._made(folder) as cache:
            cache.store(SampleKey(request, 0), sample_response(0))
            _load(cache, request, [0])
        if not any(path.is_file() for path in folder.rglob("*")):
            return  # it keeps its samples elsewhere

        def work(say: Callable[[int], None]) -> None:
            if not os.access(folder, os.R_OK):
                return
            with self._made(folder) as cache:
                say(list(_load(cache, request, [0, 1])) == [0])
                try:
                    cache.store(SampleKey(request, 1), sample_response(1))
                except CacheError as error:
                    say(bool(str(error)))
                say(list(_load(cache, request, [0, 1])) == [0])

        let_others_pass(tmp_path)
        _make_writable(folder, False)
        try:
            child = Child(bound_by_rights(work))
            said = list(iter(child.hear, None))
            child.wait()
            assert said in ([1, 1, 1], [])
        finally:
            _make_writable(folder, True)

    # ── Several processes ──

    def test_a_stored_answer_survives_kill_9(self, tmp_path: Path) -> None:
        """A process that is killed as soon as it says "stored" has stored."""
        if not self._has_processes():
            return
        request = sample_request()

        def work(say: Callable[[int], None]) -> None:
            cache = self.make(tmp_path)
            for number in range(100_000):
                cache.store(SampleKey(request, number), sample_response(number))
                say(number)

        for killed_after in (0, 1, 30):
            child = Child(work)
            said = [child.hear() for _ in range(killed_after + 1)][-1]
            child.kill()
            assert said is not None
            with self._made(tmp_path) as cache:
                assert set(range(said + 1)) <= set(_load(cache, request, range(said + 1)))

    def test_processes_and_threads_share_a_directory(self, tmp_path: Path) -> None:
        """Four processes of sixteen threads begin at once on an empty directory; nothing is lost."""
        if not self._has_processes():
            return
        request = sample_request()

        def work(process: int, say: Callable[[int], None]) -> None:
            cache = self.make(tmp_path)

            def store(thread: int) -> None:
                for i in range(4):
                    number = (process * 16 + thread) * 4 + i
                    cache.store(SampleKey(request, number), sample_response(number))
                    cache.store(SampleKey(request, 1000 + i), sample_response(1000 + i))  # everybody's

            _in_threads(16, store)
            cache.close()
            say(process)

        children = [Child(lambda say, process=process: work(process, say)) for process in range(4)]  # type: ignore[misc]
        assert sorted(str(child.hear()) for child in children) == ["0", "1", "2", "3"]
        for child in children:
            child.wait()
        with self._made(tmp_path) as cache:
            numbers = [*range(256), *range(1000, 1004)]
            found = _load(cache, request, numbers)
            assert {number: r.content for number, r in found.items()} == {n: f"Four. ({n})" for n in numbers}

    def test_a_backend_in_use_survives_a_fork(self, tmp_path: Path) -> None:
        """The child may use the backend that it was born with; the parent's goes on."""
        if not self._has_processes():
            return
        request = sample_request()
        with self._made(tmp_path) as cache:
            cache.store(SampleKey(request, 0), sample_response(0))
            assert list(_load(cache, request, [0])) == [0]

            def work(say: Callable[[int], None]) -> None:
                cache.store(SampleKey(request, 1), sample_response(1))
                say(len(_load(cache, request, [0, 1])))

            child = Child(work)
            assert child.hear() == 2
            child.wait()
            cache.store(SampleKey(request, 2), sample_response(2))
            assert list(_load(cache, request, range(3))) == [0, 1, 2]

    # ── Helpers ──

    def _has_processes(self) -> bool:
        return self.across_processes and self.persistent and hasattr(os, "fork")

    @contextmanager
    def _made(self, directory: Path) -> Iterator[CacheBackend]:
        cache = self.make(directory)
        try:
            yield cache
        finally:
            cache.close()


def _in_threads(n: int, work: Callable[[int], None]) -> None:
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _one(key: SampleKey) -> tuple[SampleRequest, list[int]]:
    return key.request, [key.number]


def _load(cache: CacheBackend, request: SampleRequest, numbers: Any) -> dict[int, Response]:
    """What the cache has of these numbers, in number order."""
    found = {key.number: response for key, response in cache.load_many(SampleKey(request, n) for n in numbers)}
    return dict(sorted(found.items(), key=lambda item: list(numbers).index(item[0])))


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder


def _make_writable(directory: Path, writable: bool) -> None:
    for path in (directory, *directory.rglob("*")):
        path.chmod((0o755 if writable else 0o555) if path.is_dir() else (0o644 if writable else 0o444))


def _tree(directory: Path) -> dict[str, tuple[int, bytes | None]]:
    """Every name below `directory`, with its time of change and, for a file, its bytes."""
    return {
        str(path.relative_to(directory)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in sorted(directory.rglob("*"))
    }
