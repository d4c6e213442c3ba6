"""What the process is told from outside."""

from pathlib import Path

import pytest

from sandbox.settings import from_environment

_RIGHT = {
    "SANDBOX_HOME": "somewhere",
    "SANDBOX_CONTROL_PORT": "1",
    "SANDBOX_TLS_PORT": "2",
    "SANDBOX_PROXY_PORT": "3",
}


def test_defaults_and_a_map_of_public_names() -> None:
    plain = from_environment(_RIGHT)
    assert (plain.speed, plain.public_map) == (1.0, {})
    assert plain.home == Path("somewhere").resolve()
    told = {"SANDBOX_PUBLIC_MAP": "a.example=127.0.0.1:5, b.example=::1:6", "SANDBOX_SPEED": "60"}
    given = from_environment(_RIGHT | told)
    assert given.public_map == {"a.example": ("127.0.0.1", 5), "b.example": ("::1", 6)}
    assert given.speed == 60


@pytest.mark.parametrize(
    "wrong",
    [
        {"SANDBOX_PUBLIC_MAP": "../etc=127.0.0.1:5"},
        {"SANDBOX_PUBLIC_MAP": "a.example=127.0.0.1"},
        {"SANDBOX_PUBLIC_MAP": "a.example"},
        {"SANDBOX_SPEED": "0"},
        {"SANDBOX_SPEED": "nan"},
        {"SANDBOX_TLS_PORT": "https"},
    ],
)
def test_wrong_settings_stop_the_start(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError):
        from_environment(_RIGHT | wrong)
