"""run/stack.env: what `up` writes is what other shells read."""

import stat
import subprocess
from pathlib import Path

import pytest

from cli import stack, stack_file
from cli.state import State
from services.settings import Settings, of_stack


def test_round_trip(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAOTUI_HOME", str(state.home))
    monkeypatch.setenv("PAOTUI_PUBLIC_URL", "https://pay.other.example")
    configured = Settings()
    resolved = stack.resolve(configured, state, stack.wanted_ports(configured))
    stack_file.write(resolved.stack_file, stack.environment(configured, resolved))
    assert stat.S_IMODE(resolved.stack_file.stat().st_mode) == 0o600
    monkeypatch.delenv("PAOTUI_PUBLIC_URL")
    assert of_stack(state.home) == resolved
    assert of_stack(state.home).token_key.get_secret_value() == state.key("token_key")


def test_the_environment_wins_over_the_file(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    stack_file.write(state.home / "run/stack.env", {"PAOTUI_REDIS_URL": "redis://file"})
    assert of_stack(state.home).redis_url == "redis://file"
    monkeypatch.setenv("PAOTUI_REDIS_URL", "redis://environment")
    assert of_stack(state.home).redis_url == "redis://environment"


def test_a_shell_reads_it(state: State) -> None:
    value = "postgresql://a:b@h/d?x=$HOME&y=`id` #z"
    path = state.home / "run/stack.env"
    stack_file.write(path, {"PAOTUI_DATABASE_URL": value})
    command = ["/bin/sh", "-c", '. "$0" && printf %s "$PAOTUI_DATABASE_URL"', str(path)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert said == value == of_stack(state.home).database_url


def test_a_value_that_neither_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="URL-encode"):
        stack_file.write(tmp_path / "stack.env", {"PAOTUI_REDIS_URL": "it's"})
