"""`paotui up` and `down`: everything started, kept up, and stopped again."""

import asyncio
import signal
import time

import click

from cli import leftovers, postgres, stack, stack_file, temporal
from cli.component import Component, Step
from cli.demo import drive_demo
from cli.launch import Launch
from cli.ports import choose, remember, remembered
from cli.report import Report
from cli.state import State
from cli.status import readiness, show_addresses
from cli.supervision import Keeper
from services.settings import Settings, configured, of_stack

WATCH_SECONDS = 1.0


@click.command()
@click.option("--detach", is_flag=True, help="Return once all is ready; `paotui down` stops it.")
@click.option("--no-demo", is_flag=True, help="Don't drive an order at the end.")
def up(*, detach: bool, no_demo: bool) -> None:
    """Start everything, drive one order, print the addresses and stay up."""
    obeyed, report = configured(), Report()
    state = State.at(obeyed.home)
    state.prepare()
    # A terminal that closes and a service manager that stops us mean what Ctrl-C means.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    keeper = Keeper(state)
    with state.lock() as alone:
        if not alone or _is_up(keeper):
            _tell_running(state, report, starting=not alone)
            return
        try:
            asyncio.run(start(obeyed, state, keeper, report))
            delivered = no_demo or _demo(report)
            report.table("Paotui is up:", stack.addresses(of_stack(state.home), remembered(state)))
            if not detach:
                report.say("Ctrl-C stops everything")
                _attend(keeper, report)
        except KeyboardInterrupt:
            _stop(keeper, report)
        except BaseException:
            _stop(keeper, report)
            raise
        else:
            raise SystemExit(0 if delivered else 1)


@click.command()
def down() -> None:
    """Stop what `up --detach` started; open orders go on with the next `up`."""
    state, report = State.at(configured().home), Report()
    keeper = Keeper(state)
    if keeper.pid() is None:
        left = leftovers.end(state)
        report.say(f"nothing was running{'; ended ' + ', '.join(left) if left else ''}")
        return
    _stop(keeper, report)


async def start(obeyed: Settings, state: State, keeper: Keeper, report: Report) -> None:
    """Bring the whole stack up; raises click's exceptions with a hint."""
    async with report:
        here = stack.embedded(obeyed)
        binary = await temporal.acquire(obeyed, report) if "temporal" in here else None
        placement = postgres.place(state, report.say) if "postgres" in here else None
        _clear(keeper, report)
        before = {k: v for k, v in remembered(state).items() if k not in stack.fixed_ports(obeyed)}
        ports = choose(stack.wanted_ports(obeyed), report.say, before)
        try:
            remember(state, ports.numbers)
            resolved = stack.resolve(obeyed, state, ports.numbers)
            variables = stack.environment(obeyed, resolved)
            stack_file.write(resolved.stack_file, variables)
            parts: list[Component | Step] = []
            if binary:
                report.say(f"temporal: {binary.path} ({binary.source})")
                parts.append(stack.temporal(binary.path, obeyed, state, ports.numbers))
            if placement:
                with report.waiting("postgres: making the database"):
                    password = state.password("postgres_password")
                    await asyncio.to_thread(postgres.initialise, placement, password)
                parts.append(stack.postgresql(placement, state, ports.numbers))
            if "valkey" in here:
                parts.append(stack.redis(state, ports.numbers))
            if "sandbox" in here:
                parts.append(stack.sandbox(obeyed, state, ports.numbers))
            if broker := stack.mosquitto_binary(obeyed):
                parts.append(stack.mosquitto(broker, state))
            parts += stack.services(variables, resolved, ports.numbers)
            components = [part for part in parts if isinstance(part, Component)]
            await asyncio.to_thread(keeper.start, components)
            await Launch(state, keeper, report).run(parts)
        finally:
            ports.release()


def _clear(keeper: Keeper, report: Report) -> None:
    """End what would be in the way of a new start."""
    # A supervisord that never got to start everything is of no use either.
    if keeper.pid() is not None:
        report.say("ending a stack that was not started completely")
        keeper.stop()
    if left := leftovers.end(keeper.state):
        report.say(f"ended leftovers of an earlier run: {', '.join(left)}")


def _is_up(keeper: Keeper) -> bool:
    """Whether supervisord runs and every child was started at some time."""
    children = keeper.children() if keeper.pid() is not None else {}
    return bool(children) and all(child["start"] for child in children.values())


def _tell_running(state: State, report: Report, *, starting: bool) -> None:
    report.say("Paotui is already running from this folder" + (" (or starting)" * starting))
    show_addresses(state, report)
    late = [line for line in asyncio.run(readiness(state)).values() if line]
    for line in late:
        report.say(f"not ready: {line}")


def _demo(report: Report) -> bool:
    """Whether one order was delivered; a stack where it was not stays up to be looked at."""
    try:
        drive_demo()
    except click.ClickException as error:
        report.say(f"the demo's order was not delivered: {error.message}")
        return False
    return True


def _attend(keeper: Keeper, report: Report) -> None:
    """Stay while supervisord does; tell about children that were restarted."""
    pids = {name: child["pid"] for name, child in keeper.children().items()}
    while keeper.pid() is not None:
        time.sleep(WATCH_SECONDS)
        for name, child in keeper.children().items():
            if child["pid"] and child["pid"] != pids.get(name):
                report.say(f"{name} ended and was restarted; see `paotui logs {name}`")
                pids[name] = child["pid"]
    if leftovers.end(keeper.state):
        raise click.ClickException("supervisord was killed; `paotui up` goes on with open orders")
    report.say("stopped from elsewhere")


def _stop(keeper: Keeper, report: Report) -> None:
    # Impatient keys must not leave children behind; the stop itself is bounded.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    report.say("stopping everything")
    keeper.stop()
    leftovers.end(keeper.state)
    report.say("stopped")
