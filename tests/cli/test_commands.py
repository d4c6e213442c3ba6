"""The commands as a person types them, without a running stack."""

import base64
import json
import os
from pathlib import Path

import jwt
import pytest
from click.testing import CliRunner, Result

from cli import show_settings
from cli.examinations import Verdict, notice_url
from cli.main import main
from cli.state import State
from services.settings import settings


def _paotui(*words: str) -> Result:
    settings.cache_clear()
    return CliRunner().invoke(main, words)


def test_doctor_as_json() -> None:
    result = _paotui("doctor", "--json")
    found = json.loads(result.output)
    assert result.exit_code == (0 if found["ok"] else 1)
    checks = {check["name"]: check for check in found["checks"]}
    assert {"python", "disk", "temporal", "postgres", "valkey", "sandbox", "notice url"} < set(
        checks
    )
    assert {"token_key", "payload_key", "personal_key", "clock", "stack"} < set(checks)
    for check in checks.values():
        assert set(check) == {"name", "verdict", "detail", "fix"}
        assert check["verdict"] in set(Verdict)
        assert check["verdict"] == "ok" or check["fix"]
    assert checks["stack"]["verdict"] == "warn"


def test_doctor_fails_with_a_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAOTUI_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("PAOTUI_TEMPORAL_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("PAOTUI_PAYLOAD_KEY", "short")
    result = _paotui("doctor")
    assert result.exit_code == 1
    for hint in ("check PAOTUI_REDIS_URL", "check PAOTUI_TEMPORAL_ADDRESS", "32 random bytes"):
        assert f"→ {hint}" in result.output or hint in result.output
    assert "fail valkey" in result.output


def test_doctor_sees_keys_that_others_can_read(state: State) -> None:
    state.key("token_key")
    (state.run / "stack.env").write_text(f"PAOTUI_TOKEN_KEY='{state.key('token_key')}'\n")
    (state.keys / "token_key").chmod(0o644)
    found = json.loads(_paotui("doctor", "--json").output)
    check = next(check for check in found["checks"] if check["name"] == "token_key")
    assert check["verdict"] == "fail"
    assert check["fix"] == f"chmod 600 {state.keys / 'token_key'}"


@pytest.mark.parametrize(
    ("url", "verdict"),
    [
        ("https://pay.paotui.example", "ok"),
        ("http://pay.paotui.example", "fail"),
        ("https://pay.paotui.example/?a=1", "fail"),
        ("https://localhost", "fail"),
        ("https://127.0.0.1", "fail"),
        ("https://shop.local", "fail"),
        ("", "fail"),
    ],
)
def test_rules_of_the_notice_url(url: str, verdict: str) -> None:
    assert notice_url(url).verdict == verdict


def test_settings_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAOTUI_TOKEN_KEY", "very-secret")
    monkeypatch.setenv("PAOTUI_DATABASE_URL", "postgresql://me:hidden@db.example/paotui")
    monkeypatch.setenv("COLUMNS", "300")
    result = _paotui("settings")
    assert result.exit_code == 0
    assert "very-secret" not in result.output
    assert "hidden" not in result.output
    assert f"postgresql://me:{show_settings.MASK}@db.example/paotui" in result.output
    assert "PAOTUI_LOG_LEVEL" in result.output


def test_status_of_nothing() -> None:
    result = _paotui("status")
    assert result.exit_code == 1
    assert "`paotui up` starts it" in result.output
    assert json.loads(_paotui("status", "--json").output) == {
        "ready": False,
        "components": {},
        "addresses": {},
    }


def test_down_of_nothing() -> None:
    result = _paotui("down")
    assert result.exit_code == 0
    assert "nothing was running" in result.output


def test_logs_of_one_and_of_all(state: State) -> None:
    assert _paotui("logs").exit_code == 1
    state.log("api").write_text("".join(f"line {number}\n" for number in range(60)))
    state.log("worker").write_text("hello\n")
    one = _paotui("logs", "api").output.splitlines()
    assert (one[0], one[-1], len(one)) == ("line 10", "line 59", 50)
    assert "worker | hello" in _paotui("logs").output
    unknown = _paotui("logs", "apo")
    assert unknown.exit_code == 1
    assert "there are: api, worker" in unknown.output


def test_a_token_is_signed_with_the_stacks_key(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("token", "--site", "hangzhou", "--role", "customer", "--subject", "c1")
    key = base64.b64encode(os.urandom(32)).decode()
    monkeypatch.setenv("PAOTUI_TOKEN_KEY", key)
    result = _paotui(*words)
    assert result.exit_code == 0
    claims = jwt.decode(result.output.strip(), key, algorithms=["HS256"])
    assert claims["site"] == "hangzhou"
    monkeypatch.delenv("PAOTUI_TOKEN_KEY")
    refused = _paotui(*words)
    assert refused.exit_code == 1
    assert "`paotui up`" in refused.output


def test_reset_deletes_what_up_made_and_nothing_else(state: State) -> None:
    venv = state.home / "venv"
    venv.mkdir()
    state.key("token_key")
    assert _paotui("reset").exit_code == 1
    assert state.keys.exists()
    assert _paotui("reset", "--yes").exit_code == 0
    assert list(state.home.iterdir()) == [venv]
    assert "nothing is stored" in _paotui("reset", "--yes").output


def test_home_is_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PAOTUI_HOME", "here")
    settings.cache_clear()
    assert settings().home == tmp_path / "here"
    settings.cache_clear()
