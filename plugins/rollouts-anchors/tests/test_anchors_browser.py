"""The page in a real browser: opened from a file, its hover text read. Skipped where there is no Chromium."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import sys

import pytest
from rollouts_anchors import importance, sentence_effects, write_html

from rollouts.resampling import Resampling, Trace

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = '<script>document.title="owned"</script><img src=x onerror="document.title=1">"\'&'
TRACE = Trace.from_text("Q " + EVIL, f"Start here. Use {EVIL} now. So three.")
ON_PIPES = (
    "import os, sys; r, w = map(int, sys.argv[1:3]); os.dup2(r, 3); os.dup2(w, 4); os.execv(sys.argv[3], sys.argv[3:])"
)

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


class Page:
    """One page in a headless browser, driven over pipes by the DevTools protocol."""

    def __init__(self, folder, url):
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        # A profile of its own, so that a browser that is open already is left alone.
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"]
        options += [f"--user-data-dir={folder / 'profile'}", "--no-first-run", "--window-size=1000,900", "about:blank"]
        command = [sys.executable, "-c", ON_PIPES, str(theirs_in), str(theirs_out), BROWSER, *options]
        self._process = subprocess.Popen(command, pass_fds=(theirs_in, theirs_out), stderr=subprocess.DEVNULL)
        os.close(theirs_in)
        os.close(theirs_out)
        self._to, self._from = os.fdopen(ours_out, "wb", buffering=0), os.fdopen(ours_in, "rb")
        self._numbers = itertools.count(1)
        self._session = None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.send("Page.enable")
        self.send("Page.navigate", url=url)
        self._read(lambda message: message.get("method") == "Page.loadEventFired")

    def send(self, method, **params):
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        self._to.write(json.dumps(message).encode() + b"\0")
        answer = self._read(lambda message: message.get("id") == number)
        assert "error" not in answer, answer
        return answer["result"]

    def _read(self, wanted):
        while True:
            text = b""
            while not text.endswith(b"\0"):
                byte = self._from.read(1)
                assert byte, "the browser is gone"
                text += byte
            message = json.loads(text[:-1])
            if wanted(message):
                return message

    def value(self, script):
        return self.send("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def hover(self, selector):
        """Move the mouse onto an element; returns the text of the box that shows then, None where none does."""
        place = self.value(
            f"(() => {{ const found = document.querySelector({json.dumps(selector)});"
            "const e = found.querySelector('circle') ?? found; e.scrollIntoView({block: 'center'});"
            "const b = e.getClientRects()[0]; return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        self.send("Input.dispatchMouseEvent", type="mouseMoved", x=place[0], y=place[1])
        return self.value(
            "(() => { const t = document.getElementById('tip'); return t.hidden ? null : t.textContent; })()"
        )

    def close(self):
        self._to.close()  # which ends the browser
        self._from.close()
        self._process.wait(timeout=20)


@pytest.fixture
def page(tmp_path):
    texts = {
        i: [f"{TRACE.sentence(i)} So three.</think>\\boxed{{3}}"] * 6 + ["No.</think>\\boxed{4}"] * (4 - i)
        for i in range(3)
    }
    data = Resampling.from_texts(TRACE, texts, forced={0: ["3}"] * 3, 1: ["3}"] * 2 + ["4}"]}, truth="3")
    effects = sentence_effects(data, "words")
    path = write_html(tmp_path / "page.html", data, importance(data), effects=effects, title="Plain title")
    opened = Page(tmp_path, path.as_uri())
    yield opened
    opened.close()


@pytest.mark.slow
def test_a_browser_shows_a_sentences_importance_under_the_mouse_and_runs_nothing_that_a_model_wrote(page):
    assert page.hover("h1") is None
    text = page.hover(".trace span:nth-of-type(2)")
    assert EVIL in text
    assert "importance" in text
    assert page.hover("h1") is None
    assert page.value("document.title") == "Plain title"
    assert page.value("document.scripts.length") == 1
    assert page.value("document.images.length") == 0
    shot = base64.b64decode(page.send("Page.captureScreenshot")["data"])
    assert shot.startswith(b"\x89PNG")


@pytest.mark.slow
def test_every_drawing_has_hover_text(page):
    count = page.value("document.querySelectorAll('svg').length")
    assert count == 4
    for n in range(count):
        # The last one drawn lies on top.
        page.value(f"[...document.querySelectorAll('svg')[{n}].querySelectorAll('[data-tip]')].at(-1).id = 'drawn{n}'")
        assert page.hover(f"#drawn{n}"), f"drawing {n}"
