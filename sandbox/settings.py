"""What the sandbox process is told from outside: environment variables and nothing else."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_HOST_NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the sandbox keeps its state and listens; every port is on 127.0.0.1."""

    home: Path
    """`SANDBOX_HOME`: keys, certificates and the database; created on first start."""
    control_port: int
    """`SANDBOX_CONTROL_PORT`: the control interface, plain HTTP."""
    tls_port: int
    """`SANDBOX_TLS_PORT`: the gateways under their real host names."""
    proxy_port: int
    """`SANDBOX_PROXY_PORT`: a CONNECT proxy that knows the gateways' host names."""
    public_map: Mapping[str, tuple[str, int]] = field(default_factory=dict)
    """`SANDBOX_PUBLIC_MAP`, "name=host:port,…": where merchants' public names really listen."""
    speed: float = 1.0
    """`SANDBOX_SPEED`: durations are divided by it until the control interface sets another."""


def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; `KeyError` or `ValueError` names what is missing or wrong."""
    return Settings(
        home=Path(environment["SANDBOX_HOME"]).resolve(),
        control_port=int(environment["SANDBOX_CONTROL_PORT"]),
        tls_port=int(environment["SANDBOX_TLS_PORT"]),
        proxy_port=int(environment["SANDBOX_PROXY_PORT"]),
        public_map=_public_map(environment.get("SANDBOX_PUBLIC_MAP", "")),
        speed=_speed(environment.get("SANDBOX_SPEED", "1")),
    )


def _public_map(text: str) -> dict[str, tuple[str, int]]:
    places: dict[str, tuple[str, int]] = {}
    for entry in filter(None, (part.strip() for part in text.split(","))):
        name, _, address = entry.partition("=")
        host, _, port = address.rpartition(":")
        if not _HOST_NAME.fullmatch(name) or not host or not port.isdigit():
            raise ValueError(f"SANDBOX_PUBLIC_MAP: {entry!r} is not name=host:port")
        places[name] = (host, int(port))
    return places


def _speed(text: str) -> float:
    speed = float(text)
    if not 0 < speed < float("inf"):
        raise ValueError("SANDBOX_SPEED must be a positive number")
    return speed
