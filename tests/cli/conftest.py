"""A state folder and small real children for the tests of this room."""

import io
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from cli import leftovers, probes
from cli.component import Component, Tier
from cli.report import Report
from cli.state import State
from cli.supervision import Keeper

SERVER = """
import http.server, pathlib, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(b"ok")
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answer)
print("started", flush=True)
server.serve_forever()
"""

Child = Callable[..., Component]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users may pass, as pytest's own may not be; PostgreSQL needs that."""
    with tempfile.TemporaryDirectory(prefix="paotui-test-", dir="/tmp") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """No setting of the shell that runs the tests; a state folder of the test's own."""
    for name in [name for name in os.environ if name.startswith("PAOTUI_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PAOTUI_HOME", str(folder / "state"))


@pytest.fixture
def state(folder: Path) -> Iterator[State]:
    """A fresh state folder whose stack, if any, is stopped afterwards."""
    state = State(folder / "state")
    state.prepare()
    yield state
    if state.home.exists():
        Keeper(state).stop()
        leftovers.end(state)


@pytest.fixture
def report() -> Report:
    """A report into `report.console.file`."""
    return Report(Console(file=io.StringIO(), force_terminal=False, soft_wrap=True))


@pytest.fixture
def child(tmp_path: Path) -> Child:
    """Make a component: a small HTTP server on a free port."""

    def make(name: str, **changes: object) -> Component:
        port = free_port()
        script = tmp_path / f"{name}.py"
        script.write_text(SERVER)
        fields: dict[str, object] = {
            "name": name,
            "tier": Tier.SERVICES,
            "command": (sys.executable, str(script), str(port)),
            "ready": probes.http(f"http://127.0.0.1:{port}/"),
            "directory": tmp_path,
        }
        return Component(**(fields | changes))  # type: ignore[arg-type]

    return make


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def text(report: Report) -> str:
    """What the report has said so far."""
    file = report.console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()
