"""Settings from files and the environment: order, what a project's file may not set, and what is shown of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rollouts import RolloutsClient
from rollouts.cli import main
from rollouts.config import REFUSED_IN_PROJECT, load_config, load_env_file
from rollouts.exceptions import ConfigError


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    (tmp_path / "home" / "rollouts").mkdir(parents=True)
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    return tmp_path / "home" / "rollouts" / "rollouts.toml"


def test_each_source_overrides_the_one_below(home, monkeypatch):
    home.write_text('model = "a/user"\ntemperature = 0.1\ntop_p = 0.1\nmax_tokens = 1\nseed = 1\n')
    Path("rollouts.toml").write_text("temperature = 0.2\ntop_p = 0.2\nmax_tokens = 2\n")
    monkeypatch.setenv("ROLLOUTS_TOP_P", "0.3")
    monkeypatch.setenv("ROLLOUTS_MAX_TOKENS", "3")
    client = RolloutsClient(max_tokens=4)
    settings = client.settings

    assert (settings.model, settings.seed) == ("a/user", 1)
    assert (settings.temperature, settings.top_p, settings.max_tokens) == (0.2, 0.3, 4)
    assert client.settings.override(max_tokens=5).max_tokens == 5


def test_a_table_of_pyproject_counts_from_folders_below(home, monkeypatch):
    Path("pyproject.toml").write_text('[tool.rollouts]\ncache_dir = "answers"\n')
    below = Path("a/b")
    below.mkdir(parents=True)
    monkeypatch.chdir(below)

    assert load_config().values["cache_dir"] == Path.cwd().parent.parent / "answers"


@pytest.mark.parametrize("name", sorted(REFUSED_IN_PROJECT))
@pytest.mark.parametrize("file", ["rollouts.toml", "pyproject.toml"])
def test_a_cloned_repository_cannot_redirect_a_key_or_run_code(home, name, file):
    value = '"http://127.0.0.1:1/v1"' if name in ("base_url", "api_key", "service", "executor") else "{ url = 'x' }"
    table = "[tool.rollouts]\n" if file == "pyproject.toml" else ""
    Path(file).write_text(f"{table}{name} = {value}\n")

    with pytest.raises(ConfigError, match=name):
        RolloutsClient("a/b")


def test_a_key_lies_in_no_file_at_all(home):
    home.write_text('api_key = "sk-secret-canary"\n')
    with pytest.raises(ConfigError) as caught:
        load_config()
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("text", ["temprature = 1", "temperature = 9", "temperature = ", "temperature = 'warm'"])
def test_a_mistake_is_told_with_its_file(home, text):
    Path("rollouts.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"rollouts\.toml"):
        RolloutsClient("a/b")


def test_variables_are_read_as_what_they_mean(home, monkeypatch):
    for name, text in {
        "MODEL": "7",
        "PROGRESS_BAR": "0",
        "STOP": '["a", "b"]',
        "PROVIDER": '{"only": ["x"]}',
        "USE_CACHE": "sql",
        "OFFLINE": "yes",
        "BASE_URL": "http://127.0.0.1:9/v1",
        "SOMETHING_ELSE": "1",
    }.items():
        monkeypatch.setenv(f"ROLLOUTS_{name}", text)
    values = load_config().values

    assert values["model"] == "7"
    assert values["progress_bar"] is False
    assert list(values["stop"]) == ["a", "b"]
    assert values["provider"] == {"only": ["x"]}
    assert (values["use_cache"], values["offline"], values["base_url"]) == ("sql", True, "http://127.0.0.1:9/v1")
    assert "something_else" not in values


def test_a_dot_env_file_is_read_only_when_asked(home, monkeypatch):
    monkeypatch.delenv("OPENROUTER_API_KEY", raising=False)
    monkeypatch.setenv("ALREADY", "there")
    Path(".env").write_text("# comment\nexport OPENROUTER_API_KEY='sk-x'\nALREADY=other\n\n")
    load_config()
    import os

    assert "OPENROUTER_API_KEY" not in os.environ
    assert load_env_file(".env") == ["OPENROUTER_API_KEY"]
    assert (os.environ.pop("OPENROUTER_API_KEY"), os.environ["ALREADY"]) == ("sk-x", "there")


def test_a_bad_line_of_a_dot_env_file_is_not_repeated(home):
    Path(".env").write_text("sk-secret-canary\n")
    with pytest.raises(ConfigError, match="line 1") as caught:
        load_env_file(".env")
    assert "canary" not in str(caught.value)


def test_the_command_shows_each_value_and_its_origin(home, monkeypatch, capsys):
    home.write_text("temperature = 0.1\n")
    monkeypatch.setenv("ROLLOUTS_API_KEY", "sk-secret-canary")
    monkeypatch.setenv("ROLLOUTS_TOP_P", "0.5")
    assert main(["config"]) == 0
    shown = capsys.readouterr().out

    assert str(home) in shown
    assert "top_p" in shown
    assert "ROLLOUTS_TOP_P" in shown
    assert "canary" not in shown
    assert main(["config", "--all", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["max_retries"]["origin"] == "default"
    assert rows["temperature"]["value"] == "0.1"


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_the_config_command_shows_no_secret_among_options(capsys, monkeypatch, form):
    options = {"url": "postgresql://me:hunter2@host/db", "password": "hunter2"}
    monkeypatch.setenv("ROLLOUTS_CACHE_OPTIONS", json.dumps(options))
    assert main(["config", *form]) == 0
    told = capsys.readouterr().out
    assert "postgresql://host/db" in told
    assert "hunter2" not in told
