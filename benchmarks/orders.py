"""`python -m benchmarks.orders`: whole orders against the bare workflow, and what they cost.

One run, one machine, loopback only; what each figure means is in `docs/benchmarks.md`.
"""

import argparse
import json
import os
import platform
import signal
import sys
import traceback
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from benchmarks import phases, stack
from benchmarks.city import city_on
from benchmarks.phases import Measured
from benchmarks.report import Cost, Figure, cost_table, table
from services import process
from services.settings import Settings, of_stack

ORDERS = 200
ORDERS_MIN = 10


class Run:
    """What was found so far."""

    def __init__(self, orders: int) -> None:
        self.orders = orders
        self.figures: list[Figure] = []
        self._measured: dict[str, Measured] = {}
        self._read_cost: dict[str, float] = {}

    async def measure(self, settings: Settings, *, everything: bool) -> None:
        """One state of the workflow sandbox; `everything`: also what it makes no difference to."""
        sandboxed = settings.workflow_sandbox
        label = phases.mode(sandboxed=sandboxed)
        async with city_on(settings) as city:
            _say(f"whole orders against the bare workflow, {label}")
            found = await phases.throughput(city, sandboxed=sandboxed, count=self.orders)
            self._measured[label] = found
            self.figures += found.figures
            _say(f"place to parameters at {found.per_second / 2:.1f} orders/s, {label}")
            self.figures += await phases.placing(
                city, sandboxed=sandboxed, per_second=found.per_second / 2, count=self.orders
            )
            if everything:
                _say("histories")
                self.figures += await phases.histories(city, found.orders)
                _say("status reads")
                figures, self._read_cost = await phases.status_reads(city)
                self.figures += figures
            _say(f"commit to WebSocket, {label}")
            self.figures += await phases.live(city, sandboxed=sandboxed, capacity=found.per_second)

    def costs(self) -> list[Cost]:
        """CPU by part: per order and, where nothing happens, per second; per status read."""
        columns: dict[str, dict[str, float]] = {}
        for label, found in self._measured.items():
            columns |= {
                f"whole, {label}": found.whole,
                f"bare, {label}": found.bare,
                f"idle, {label} (per s)": found.idle,
            }
        by_order = Cost(title="CPU ms per order", columns=columns)
        reads = {name: used * 1_000 for name, used in self._read_cost.items()}
        return [by_order, Cost(title="CPU µs per status read", columns={"": reads})]


async def run(found: Run, home: Path | None) -> None:
    """Every phase on a stack of its own, twice; on a given one, once and as it is."""
    async with stack.home_folder(home) as folder:
        if home is not None:
            await found.measure(of_stack(folder), everything=True)
            return
        for sandboxed in (True, False):
            _say(f"starting a stack, {phases.mode(sandboxed=sandboxed)}")
            settings = await stack.start(folder, sandboxed=sandboxed)
            await found.measure(settings, everything=sandboxed)


def main() -> None:
    """Measure and print; exit code 1 where a target was missed or a phase failed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.orders", description=__doc__)
    parser.add_argument("--orders", type=int, default=ORDERS, help="per throughput run")
    parser.add_argument("--home", type=Path, help="measure the stack that runs from this folder")
    parser.add_argument("--json", action="store_true", help="for programs")
    options = parser.parse_args()
    if options.orders < ORDERS_MIN:
        parser.error(f"--orders is at least {ORDERS_MIN}")
    # What stops a job means what Ctrl-C means: the stack is stopped first.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    found, failed = Run(options.orders), False
    try:
        uvloop.run(run(found, options.home.absolute() if options.home else None))
    except BaseException:  # noqa: BLE001 - the last door: shown beside what was found before
        failed = True
        traceback.print_exc()
    if options.json:
        sys.stdout.write(json.dumps(_document(found), indent=2) + "\n")
    else:
        _print(found)
    missed = any(figure.met is False for figure in found.figures)
    process.leave(1 if failed or missed else 0)


def _document(found: Run) -> dict[str, object]:
    return {
        "at": datetime.now(UTC).isoformat(),
        "machine": _machine(),
        "figures": [figure.as_json() for figure in found.figures],
        "costs": {cost.title: cost.columns for cost in found.costs()},
    }


def _print(found: Run) -> None:
    print(_machine(), end="\n\n")
    print("\n".join(table(found.figures)))
    missed = [figure.name for figure in found.figures if figure.met is False]
    print(f"\nmissed: {', '.join(missed) or 'none'}; where the time goes:")
    for cost in found.costs():
        print("\n" + "\n".join(cost_table(cost)))


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, {sys.version}"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
