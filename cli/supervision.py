"""supervisord as this stack's keeper: its configuration, its life and its remote control."""

import os
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from typing import Any

import click
from supervisor.xmlrpc import SupervisorTransport

from cli import processes
from cli.component import Component, Tier
from cli.state import State, write_private

START_SECONDS = 20.0
STOP_SECONDS = 15.0
POLL_SECONDS = 0.05
STABLE_SECONDS = 2
"""A child that dies sooner is restarted with a delay that grows by a second each time.

supervisord may notice an end a second late, so that 1 would often not count as "sooner"."""
RETRIES = 2**31 - 1
STOP_WAIT_SECONDS = {Tier.SERVICES: 4, Tier.FOUNDATION: 5}
"""Together under ten seconds; then a child is killed."""
LOG_BYTES = 10_000_000
LOG_BACKUPS = 3


class Keeper:
    """One stack's supervisord, running or not."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.configuration = state.run / "supervisord.conf"
        self._pid_file = state.run / "supervisord.pid"

    def pid(self) -> int | None:
        """Of the running supervisord of this state folder."""
        process = processes.holding(self._pid_file, str(self.configuration))
        return None if process is None else int(process.pid)

    def start(self, components: Sequence[Component]) -> None:
        """Start supervisord with these children known and none of them running."""
        write_private(self.configuration, self._render(components))
        self.state.socket.unlink(missing_ok=True)
        log = self.state.log("supervisord-start")
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.configuration)]
        with log.open("w") as output:
            # It goes into the background with a session of its own: Ctrl-C reaches `paotui up`
            # alone, which then stops things in order.
            ended = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                cwd=self.state.home,
                env=os.environ | {"NO_PROXY": _without_proxy(), "no_proxy": _without_proxy()},
            )
        deadline = time.monotonic() + START_SECONDS
        while ended.returncode == 0 and time.monotonic() < deadline:
            if self.pid() is not None and self._answers():
                return
            time.sleep(POLL_SECONDS)
        raise click.ClickException(f"supervisord did not start:\n{log.read_text()}")

    def call(self, method: str, *arguments: object) -> Any:  # noqa: ANN401
        """A method of supervisord's XML-RPC interface; raises OSError when nobody listens."""
        transport = SupervisorTransport(None, None, f"unix://{self.state.socket}")
        with xmlrpc.client.ServerProxy("http://127.0.0.1", transport) as proxy:
            return getattr(proxy.supervisor, method)(*arguments)

    def start_child(self, component: Component) -> None:
        """Start one child now and don't wait for it."""
        self.call("startProcess", f"{component.tier}:{component.name}", False)

    def children(self) -> dict[str, dict[str, Any]]:
        """What supervisord knows of each child, by name; empty when it isn't running."""
        try:
            return {info["name"]: info for info in self.call("getAllProcessInfo")}
        except (OSError, xmlrpc.client.Error):
            return {}

    def _answers(self) -> bool:
        try:
            self.call("getState")
        except (OSError, xmlrpc.client.Error):
            return False
        return True

    def stop(self) -> None:
        """Stop the children in reverse order, then supervisord; `leftovers` ends what remains."""
        process = processes.holding(self._pid_file, str(self.configuration))
        if process is not None:
            processes.end([process], seconds=STOP_SECONDS, descendants=False)

    def _render(self, components: Sequence[Component]) -> str:
        sections = [
            _section("unix_http_server", {"file": self.state.socket, "chmod": "0600"}),
            _section(
                "rpcinterface:supervisor",
                {
                    "supervisor.rpcinterface_factory": (
                        "supervisor.rpcinterface:make_main_rpcinterface"
                    )
                },
            ),
            _section(
                "supervisord",
                {
                    "user": "root" if processes.is_root() else "",
                    "pidfile": self._pid_file,
                    "logfile": self.state.log("supervisord"),
                    "logfile_maxbytes": LOG_BYTES,
                    "logfile_backups": LOG_BACKUPS,
                    "childlogdir": self.state.logs,
                },
            ),
        ]
        for priority, tier in enumerate(Tier, start=1):
            names = [component.name for component in components if component.tier is tier]
            if names:
                group = {"programs": ",".join(names), "priority": priority}
                sections.append(_section(f"group:{tier}", group))
        return "\n".join(sections + [self._program(component) for component in components])

    def _program(self, component: Component) -> str:
        command = component.command
        if component.pid_file is None:
            command = processes.launcher(self.state.pids / f"{component.name}.pid", command)
        environment = ",".join(f"{k}={_quoted(v)}" for k, v in component.environment.items())
        settings = {
            "command": shlex.join(command),
            "directory": component.directory,
            "environment": environment,
            "user": component.user,
            "autostart": "false",
            "autorestart": "true",
            "startsecs": STABLE_SECONDS,
            "startretries": RETRIES,
            "stopsignal": component.stop_signal,
            "stopwaitsecs": STOP_WAIT_SECONDS[component.tier],
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": self.state.log(component.name),
            "stdout_logfile_maxbytes": LOG_BYTES,
            "stdout_logfile_backups": LOG_BACKUPS,
        }
        return _section(f"program:{component.name}", settings)


def _section(name: str, settings: Mapping[str, object]) -> str:
    lines = [f"{key}={_value(value)}\n" for key, value in settings.items() if value != ""]
    return f"[{name}]\n" + "".join(lines)


def _value(value: object) -> str:
    """A value as supervisord's configuration can hold it; refuses what it would cut or misread."""
    text = str(value)
    if any(sign in text for sign in ("\n", " ;", " #", "\t;", "\t#")):
        raise click.ClickException(
            f"{text!r} can't stand in supervisord's configuration; choose a simpler folder or value"
        )
    return text.replace("%", "%%")


def _quoted(value: str) -> str:
    if '"' in value:
        raise click.ClickException(f"{value!r} may hold no double quote; URL-encode it")
    return f'"{value}"'


def _without_proxy() -> str:
    return ",".join(filter(None, [os.environ.get("NO_PROXY", ""), "127.0.0.1", "localhost"]))
