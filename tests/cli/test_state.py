"""The state folder: secrets, lock and the supervisor's socket."""

import base64
import os
import stat
from pathlib import Path

import click
import pytest

from cli import processes
from cli.state import SOCKET_PATH_BYTES, State, own_folder


def test_keys_are_made_once_and_private(state: State) -> None:
    key = state.key("token_key")
    assert len(base64.b64decode(key, validate=True)) == 32
    assert state.key("token_key") == key
    assert state.key("payload_key") != key
    assert stat.S_IMODE((state.keys / "token_key").stat().st_mode) == 0o600
    assert stat.S_IMODE(state.keys.stat().st_mode) == 0o700


def test_only_one_holds_the_lock(state: State) -> None:
    with state.lock() as first, state.lock() as second:
        assert (first, second) == (True, False)
    with state.lock() as again:
        assert again


def test_a_deep_folder_gets_a_short_socket_elsewhere(tmp_path: Path) -> None:
    deep = State(tmp_path / ("d" * 120))
    assert len(str(deep.socket)) <= SOCKET_PATH_BYTES
    assert stat.S_IMODE(deep.socket.parent.stat().st_mode) == 0o700
    deep.socket.parent.rmdir()


def test_a_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(click.ClickException, match="another user"):
        own_folder(tmp_path / "link")


@pytest.mark.skipif(not processes.is_root(), reason="only root makes folders for others")
def test_a_folder_of_another_user_is_refused(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    assert State.at(state.home) == state
    os.chown(state.home, 65_534, -1)
    assert State.at(state.home) == state
    monkeypatch.setattr(os, "geteuid", lambda: 1234)
    with pytest.raises(click.ClickException, match="belongs to another user"):
        State.at(state.home)
