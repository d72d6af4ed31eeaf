"""The documentation: complete, and a site that builds without a warning and is searchable from a folder."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rollouts.exceptions
from rollouts.cli import command_parsers
from rollouts.results.tables import COLUMNS
from rollouts.settings import SETTINGS

ROOT = Path(__file__).parents[2]

if not (ROOT / "mkdocs.yml").is_file():  # the wheel is tested in a folder without the sources of the site
    pytest.skip("no documentation sources in this folder", allow_module_level=True)


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name", sorted(set(rollouts.exceptions.__all__) - {"RolloutsError", "ProviderError", "RolloutsWarning"})
)
def test_each_exception_has_a_place_where_one_reads_what_to_do(name):
    assert f"\n## {name}\n" in page("how-to/troubleshooting.md")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(target)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return target


@pytest.mark.slow
def test_the_site_builds_and_nothing_is_loaded_from_elsewhere(site):
    for path in site.rglob("*.html"):
        html = path.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe)[^>]+src=[\"'](https?:[^\"']+)", html)
        loaded += re.findall(r"<link[^>]+rel=[\"']?stylesheet[\"']?[^>]+href=[\"'](https?:[^\"']+)", html)
        assert [url for url in loaded if "unpkg.com/iframe-worker" not in url] == [], path


@pytest.mark.slow
def test_the_reference_is_made_from_the_code(site):
    settings = (site / "reference" / "settings.html").read_text(encoding="utf-8")
    results = (site / "reference" / "results.html").read_text(encoding="utf-8")
    commands = (site / "reference" / "command-line.html").read_text(encoding="utf-8")

    assert [name for name in SETTINGS if f"<code>{name}</code>" not in settings] == []
    assert [name for name in COLUMNS if f"<code>{name}</code>" not in results] == []
    assert [name for name, _ in command_parsers() if f"rollouts {name}" not in commands] == []
    assert "generate:" not in settings + results + commands


@pytest.mark.slow
def test_the_search_finds_a_setting(site):
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    assert any("requests_per_minute" in entry["text"] for entry in index["docs"])
