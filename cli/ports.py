"""Which loopback ports a stack takes: the same as last time when they are free."""

import json
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cli.state import State

LOOPBACK = "127.0.0.1"
LAST_PORT = 65_535
PREFERRED = {
    "api": 8700,
    "live": 8720,
    "api_tls": 8743,
    "temporal": 7233,
    "temporal_ui": 8233,
    "postgres": 8732,
    "valkey": 8779,
    "mqtt": 8783,
    "sandbox_control": 8750,
    "sandbox_tls": 8751,
    "sandbox_proxy": 8752,
    "api_metrics": 8790,
    "worker_metrics": 8791,
    "matcher_metrics": 8792,
    "relay_metrics": 8793,
    "finance_metrics": 8794,
    "live_metrics": 8795,
    "positions_metrics": 8796,
}


@dataclass(slots=True)
class Ports:
    """The choice, and what keeps other starting stacks from making the same one."""

    numbers: dict[str, int] = field(default_factory=dict)
    claims: list[socket.socket] = field(default_factory=list)

    def release(self) -> None:
        """Let go of the claims: by now the components listen themselves."""
        for claim in self.claims:
            claim.close()


def choose(
    wanted: Mapping[str, int], say: Callable[[str], None], remembered: Mapping[str, int]
) -> Ports:
    """A free port for each name, nearest above the one wanted; tells about each that is taken."""
    ports = Ports()
    for name, usual in wanted.items():
        first = remembered.get(name, usual)
        others = {number for other, number in wanted.items() if other != name}
        others |= set(ports.numbers.values())
        for number in range(first, LAST_PORT + 1):
            if (number == first or number not in others) and _claim(number, ports):
                break
        else:
            raise OSError(f"no free port above {first} for {name}")
        if number != first:
            say(f"port {first} is taken, using {number} ({name.replace('_', ' ')})")
        ports.numbers[name] = number
    return ports


def remembered(state: State) -> dict[str, int]:
    """The ports of the last run; empty before the first, or when the file is damaged."""
    try:
        found = json.loads(state.ports.read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return {name: port for name, port in found.items() if isinstance(port, int)}


def remember(state: State, ports: Mapping[str, int]) -> None:
    """Keep the choice for the next run."""
    state.ports.write_text(json.dumps(dict(ports), indent=1) + "\n")


def _claim(number: int, ports: Ports) -> bool:
    if number in ports.numbers.values():
        return False
    with socket.socket() as probe:
        # Connections of the last run in TIME_WAIT don't make a port taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, number))
        except OSError:
            return False
    if sys.platform == "linux":
        # Two stacks that start at once see the same ports free until something listens there; an
        # abstract socket is a lock that ends with its process.
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0paotui-port-{number}")
        except OSError:
            claim.close()
            return False
        ports.claims.append(claim)
    return True
