"""`paotui status`: what runs, since when, and whether it is ready."""

import asyncio
import json
from typing import Any

import click
import httpx

from cli import probes, stack
from cli.ports import remembered
from cli.report import Report
from cli.state import State
from cli.supervision import Keeper
from services.settings import configured, of_stack

NOT_RUNNING_EXIT = 1


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs: pids, states, addresses.")
def status(*, as_json: bool) -> None:
    """What runs and where; exit code 1 unless all of it is ready."""
    state, report = State.at(configured().home), Report()
    keeper = Keeper(state)
    children = keeper.children() if keeper.pid() is not None else {}
    late = asyncio.run(readiness(state)) if children else {}
    rows = {name: _row(child, late.get(name, "")) for name, child in children.items()}
    healthy = bool(rows) and all(row["ready"] for row in rows.values())
    if as_json:
        places = dict(_addresses(state)) if children else {}
        click.echo(json.dumps({"ready": healthy, "components": rows, "addresses": places}))
    elif not rows:
        report.say("Paotui is not running from this folder; `paotui up` starts it")
    else:
        columns = ("state", "pid", "up_seconds", "detail")
        table = [(name, *(str(row[column]) for column in columns)) for name, row in rows.items()]
        report.table("", [("component", "state", "pid", "up s", ""), *table])
        show_addresses(state, report)
    raise SystemExit(0 if healthy else NOT_RUNNING_EXIT)


async def readiness(state: State) -> dict[str, str]:
    """For each of Paotui's own processes: empty when ready, else why not."""
    urls = stack.ready_urls(of_stack(state.home), remembered(state))
    async with httpx.AsyncClient(trust_env=False) as client:
        answers = await asyncio.gather(*(probes.http(url)(client) for url in urls.values()))
    return dict(zip(urls, answers, strict=True))


def show_addresses(state: State, report: Report) -> None:
    """Print what a person may open."""
    report.table("", _addresses(state))


def _addresses(state: State) -> list[tuple[str, str]]:
    return stack.addresses(of_stack(state.home), remembered(state))


def _row(child: dict[str, Any], late: str) -> dict[str, Any]:
    running = child["statename"] == "RUNNING"
    detail = late or ("" if running else child["spawnerr"])
    return {
        "state": child["statename"].lower(),
        "pid": child["pid"],
        "up_seconds": max(0, child["now"] - child["start"]) if running else 0,
        "ready": running and not late,
        "detail": detail,
    }
