"""How a running stack's settings are written for other shells: `run/stack.env`."""

from collections.abc import Iterable
from pathlib import Path

from pydantic import SecretStr

from cli.state import write_private
from services.settings import Settings


def as_environment(settings: Settings, names: Iterable[str]) -> dict[str, str]:
    """Those settings as environment variables, secrets in clear."""
    return {f"PAOTUI_{name.upper()}": _text(getattr(settings, name)) for name in sorted(names)}


def write(path: Path, environment: dict[str, str]) -> None:
    """Write variables as single-quoted assignments, readable by dotenv parsers and by `sh`."""
    lines = [f"{name}={_quoted(value)}\n" for name, value in environment.items()]
    write_private(path, "# Written by `paotui up`; changes are lost.\n" + "".join(lines))


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return str(value).lower() if isinstance(value, bool) else str(value)


def _quoted(value: str) -> str:
    if "'" in value or "\\" in value or "\n" in value:
        raise ValueError("a setting may hold no quote, backslash or line break; URL-encode it")
    return f"'{value}'"
