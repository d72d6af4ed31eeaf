"""Price lists: asked for only when wanted, remembered with their date, and what `max_cost` goes by."""

import json
import os

import pytest

from rollouts import prices as prices_module
from rollouts.exceptions import AuthenticationError, ConfigError, MalformedResponse, RolloutsWarning
from rollouts.testing.server import LoopbackServer, Reply


def test_a_list_is_asked_for_once_and_remembered_with_its_date(server, make_client, tmp_path):
    client = make_client()
    assert client.prices() is None
    assert server.connections == 0
    found = client.prices(refresh=True)
    again = make_client().prices()

    assert [request.path for request in server.requests] == ["/api/v1/models"]
    assert again == found
    assert found.prices["test/model"] == (1e-6, 1e-5)
    assert len(found.date) == 10
    assert "2 models" in str(found)
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["prices.json"]


def test_lists_of_several_services_are_kept_apart(server, make_client):
    mine = make_client().prices(refresh=True)
    other = {"data": [{"id": "test/model", "pricing": {"prompt": "1", "completion": "2"}}]}
    with LoopbackServer(routes={"/models": lambda request: Reply(json=other)}) as second:
        theirs = make_client(base_url=second.url).prices(refresh=True)
    assert make_client().prices() == mine
    assert theirs.prices["test/model"] == (1.0, 2.0)


def test_no_key_is_kept(server, make_client, tmp_path):
    make_client(api_key="sk-or-canary").prices(refresh=True)
    assert server.requests[0].headers["authorization"] == "Bearer sk-or-canary"
    assert "canary" not in (tmp_path / "state" / "prices.json").read_text()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 9, "lists": {}}', '{"format": 1, "lists": {"u": 3}}'])
def test_a_damaged_file_counts_as_none_and_is_replaced(make_client, tmp_path, text):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "prices.json").write_text(text)
    client = make_client()
    assert client.prices() is None
    client.prices(refresh=True)
    assert json.loads((tmp_path / "state" / "prices.json").read_text())["format"] == 1


def test_a_list_that_cannot_be_kept_is_given_all_the_same(make_client, tmp_path):
    (tmp_path / "state").write_text("a file in the way")
    with pytest.warns(RolloutsWarning, match="cannot be kept"):
        assert len(make_client().prices(refresh=True).prices) == 2


def test_errors_of_the_service_are_told_as_themselves(server, make_client):
    server.routes["/models"] = lambda request: Reply(status=401, json={"error": {"message": "no", "code": 401}})
    with pytest.raises(AuthenticationError):
        make_client().prices(refresh=True)
    server.routes["/models"] = lambda request: Reply(json={"data": []})
    with pytest.raises(MalformedResponse, match="no price list"):
        make_client().prices(refresh=True)
    server.routes["/models"] = lambda request: Reply(body=b"<html>")
    with pytest.raises(MalformedResponse, match="no price list"):
        make_client().prices(refresh=True)


def test_offline_and_services_without_a_list_are_told(server, make_client):
    with pytest.raises(ConfigError, match="offline"):
        make_client(offline=True).prices(refresh=True)
    with pytest.raises(ConfigError, match="no price list"):
        make_client(adapter="vllm").prices(refresh=True)
    assert make_client(adapter="vllm").prices() is None
    assert server.connections == 0


def test_max_cost_needs_a_stated_cost_or_a_known_price(server, make_client):
    client = make_client(adapter="together", api_key="k", max_cost=1.0)
    with pytest.raises(ConfigError, match=r"prices\(refresh=True\)"):
        client.generate("Hello")
    assert server.connections == 0

    assert client.prices(refresh=True).prices["test/model"]
    assert len(client.generate("Hello", n_samples=2)) == 2


def test_a_price_holds_the_budget_before_the_first_answer(server, make_client):
    from rollouts.exceptions import BudgetExceeded

    client = make_client(api_key="k", max_tokens=1000, max_cost=0.005)
    client.prices(refresh=True)
    with pytest.raises(BudgetExceeded, match="may cost"):
        client.generate("Hello", n_samples=3)
    assert [request.path for request in server.requests] == ["/api/v1/models"]


def test_a_later_list_replaces_the_earlier(make_client, monkeypatch):
    list_of_old = prices_module.PriceList("u", "2020-01-01", {"m": (1.0, 2.0)})
    prices_module.remember(list_of_old)
    prices_module.remember(prices_module.PriceList("u", "2021-01-01", {"m": (3.0, 4.0)}))
    assert prices_module.remembered("u").prices == {"m": (3.0, 4.0)}
    assert prices_module.remembered("v") is None
    assert os.listdir(prices_module.state_dir()) == ["prices.json"]
