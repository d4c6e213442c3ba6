"""The table of the stack: what is embedded, what is pointed elsewhere, who needs whom."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from cli import stack
from cli.component import Component, Step
from cli.state import State
from services.settings import Settings

ELSEWHERE = {
    "temporal": {"PAOTUI_TEMPORAL_ADDRESS": "temporal.example:7233"},
    "postgres": {"PAOTUI_DATABASE_URL": "postgresql://u:p@db.example/paotui"},
    "valkey": {"PAOTUI_REDIS_URL": "redis://cache.example"},
    "sandbox": {"PAOTUI_GATEWAY_PROXY": ""},
}


@pytest.mark.parametrize("part", ELSEWHERE)
def test_a_part_that_is_pointed_elsewhere_is_not_started(
    part: str, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in ELSEWHERE[part].items():
        monkeypatch.setenv(name, value)
    configured = Settings()
    assert stack.embedded(configured) == tuple(x for x in stack.FOUNDATION if x != part)
    ports = stack.wanted_ports(configured)
    assert not set(stack.PORTS_OF[part]) & set(ports)
    resolved = stack.resolve(configured, state, ports)
    variables = stack.environment(configured, resolved)
    assert ELSEWHERE[part].items() <= variables.items()


def test_an_own_sandbox_is_used_by_its_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAOTUI_SANDBOX_URL", "http://127.0.0.1:1")
    assert "sandbox" not in stack.embedded(Settings())


def test_ports_of_the_environment_are_not_the_last_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert stack.fixed_ports(Settings()) == set()
    monkeypatch.setenv("PAOTUI_API_PORT", "9000")
    assert stack.fixed_ports(Settings()) == {"api"}
    assert stack.wanted_ports(Settings())["api"] == 9000


def _table(state: State) -> Mapping[str, Component | Step]:
    configured = Settings()
    ports = stack.wanted_ports(configured)
    resolved = stack.resolve(configured, state, ports)
    parts = [
        stack.temporal(Path("/t/temporal"), configured, state, ports),
        stack.redis(state, ports),
        stack.sandbox(configured, state, ports),
        *stack.services(stack.environment(configured, resolved), resolved, ports),
    ]
    return {part.name: part for part in parts}


def test_services_wait_for_the_seed_and_the_seed_for_everything(state: State) -> None:
    table = _table(state)
    assert table["migrate"].needs == ("postgres",)
    assert set(table["seed"].needs) == {*stack.FOUNDATION, "migrate"}
    served = [part for part in table.values() if part.needs == ("seed",)]
    assert {part.name for part in served} >= set(stack.SERVICES)
    own_ports = {part.environment["PAOTUI_METRICS_PORT"] for part in served}
    assert len(own_ports) == len(served)


def test_mqtt_is_there_where_a_broker_is(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAOTUI_MOSQUITTO", "")
    assert "positions" not in _table(state)
    monkeypatch.setenv("PAOTUI_MOSQUITTO", sys.executable)
    variables = _table(state)["positions"].environment
    assert variables["PAOTUI_MQTT_URL"] == "mqtt://127.0.0.1:8783"
    assert variables["PAOTUI_MQTT_SOCKET"] == str(state.run / stack.MQTT_SOCKET)
    monkeypatch.setenv("PAOTUI_MQTT_URL", "mqtts://u:p@mqtt.example")
    variables = _table(state)["positions"].environment
    assert variables["PAOTUI_MQTT_URL"] == "mqtts://u:p@mqtt.example"
    assert "PAOTUI_MQTT_SOCKET" not in variables


def test_servers_made_by_others_get_none_of_our_keys(state: State) -> None:
    table = _table(state)
    key = state.key("personal_key")
    assert key in table["api"].environment.values()
    for name in ("temporal", "valkey", "sandbox"):
        assert key not in table[name].environment.values()


def test_the_sandbox_learns_where_the_public_name_listens(state: State) -> None:
    environment = _table(state)["sandbox"].environment
    assert environment["SANDBOX_PUBLIC_MAP"] == "pay.paotui.example=127.0.0.1:8743"
    assert environment["SANDBOX_HOME"] == str(state.home / "sandbox")


def test_the_temporal_server_runs_as_measured(state: State) -> None:
    command = " ".join(_table(state)["temporal"].command)
    for option in (
        'history.timerProcessorMaxTimeShift="10ms"',
        "system.enableActivityEagerExecution=true",
        "--sqlite-pragma journal_mode=WAL --sqlite-pragma synchronous=NORMAL",
        "--ui-codec-endpoint http://127.0.0.1:8700/codec",
        "--search-attribute OrderStatus=Keyword",
    ):
        assert option in command
