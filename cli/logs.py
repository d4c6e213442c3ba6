"""`paotui logs`: the ends of the parts' logs, and what is added to them."""

import time
from pathlib import Path

import click

from cli.launch import last_lines
from cli.state import State
from services.settings import configured

SHOWN_LINES = 50
FOLLOW_SECONDS = 0.2


@click.command()
@click.argument("name", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on printing what is added.")
def logs(name: str | None, *, follow: bool) -> None:
    """Print the last lines of one part's log, or of all."""
    state = State.at(configured().home)
    files = sorted(path for path in state.logs.glob("*.log") if name in {None, path.stem})
    if not files:
        known = ", ".join(sorted(path.stem for path in state.logs.glob("*.log")))
        raise click.ClickException(f"no log of that name; there are: {known or 'none yet'}")
    width = max(len(path.stem) for path in files) if len(files) > 1 else 0
    places = {}
    for path in files:
        for line in last_lines(path, SHOWN_LINES):
            click.echo(_line(path, line, width))
        places[path] = (path.stat().st_ino, path.stat().st_size)
    while follow:
        time.sleep(FOLLOW_SECONDS)
        for path in files:
            places[path] = _more(path, places[path], width)


def _more(path: Path, place: tuple[int, int], width: int) -> tuple[int, int]:
    """Print whole lines added since that place (inode, offset); the place for the next look."""
    inode, offset = place
    if not path.exists():
        return place
    with path.open("rb") as file:
        # Rotation gives the name to a new file, a new run empties a step's log.
        status = path.stat()
        if status.st_ino != inode or status.st_size < offset:
            offset = 0
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                break
            offset += len(line)
            click.echo(_line(path, line.decode(errors="replace").rstrip("\n"), width))
    return status.st_ino, offset


def _line(path: Path, line: str, width: int) -> str:
    return f"{path.stem:<{width}} | {line}" if width else line
