"""What an earlier run may have left behind, when even its supervisord was killed."""

from pathlib import Path

from cli import postgres, processes
from cli.state import State


def end(state: State) -> list[str]:
    """End children that outlived their supervisord; answers with their names."""
    left = processes.end_recorded(state.pids.glob("*.pid"))
    left += ["postgres" for data in database_folders(state) if postgres.end_leftovers(data)]
    return left


def database_folders(state: State) -> tuple[Path, Path]:
    """Where the embedded PostgreSQL's data may be."""
    return state.home / "postgres", relocated(state) / "postgres"


def relocated(state: State) -> Path:
    """Where data and server are when the user who runs PostgreSQL can't reach the state folder."""
    return postgres.RELOCATED / f"paotui-{state.mark}"
