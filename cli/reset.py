"""`paotui reset`: everything that the stack of this folder ever stored is deleted."""

import shutil

import click

from cli import leftovers
from cli.report import Report
from cli.state import State
from cli.supervision import Keeper
from services.settings import configured

STORED = (
    "temporal",
    "postgres",
    "postgres.partial",
    "valkey",
    "sandbox",
    "mqtt",
    "run",
    "logs",
    "keys",
)
"""What `up` makes in the state folder; the virtual environment beside them stays."""


@click.command()
@click.option("--yes", is_flag=True, help="Don't ask.")
def reset(*, yes: bool) -> None:
    """Stop everything and delete all orders, money, keys and logs of this folder's stack."""
    state, report = State.at(configured().home), Report()
    folders = [*(state.home / name for name in STORED), leftovers.relocated(state)]
    if state.socket.parent != state.run:
        folders.append(state.socket.parent)
    found = [folder for folder in folders if folder.exists()]
    if not found:
        report.say(f"nothing is stored in {state.home}")
        return
    if not yes:
        click.confirm(f"Delete every order and key in {state.home}?", abort=True)
    Keeper(state).stop()
    leftovers.end(state)
    for folder in found:
        shutil.rmtree(folder)
    report.say(f"deleted: {', '.join(str(folder) for folder in found)}")
