"""A real supervisord with small children: order, readiness, restarts, ends, leftovers."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from cli import leftovers, processes
from cli.component import Component, Step, Tier
from cli.launch import Launch, NotReadyError
from cli.report import Report
from cli.state import State
from cli.supervision import Keeper
from tests.cli.conftest import Child, text

PATIENCE_SECONDS = 10.0


async def _up(state: State, report: Report, *parts: Component | Step) -> Keeper:
    keeper = Keeper(state)
    keeper.start([part for part in parts if isinstance(part, Component)])
    async with report:
        await Launch(state, keeper, report).run(parts)
    return keeper


def _until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def _pid(keeper: Keeper, name: str) -> int:
    return int(keeper.children()[name]["pid"])


async def test_parts_start_in_the_order_of_their_needs_and_stop_together(
    state: State, report: Report, child: Child, tmp_path: Path
) -> None:
    note = tmp_path / "note"
    base = child("base", tier=Tier.FOUNDATION, environment={"KEY": "50%;#1"})
    step = Step(
        name="step",
        command=("/bin/sh", "-c", 'echo done > "$0"', str(note)),
        needs=("base", "elsewhere"),
        directory=tmp_path,
    )
    top = child("top", needs=("step",))
    keeper = await _up(state, report, top, step, base)
    said = [line.split()[2] for line in text(report).splitlines() if " after " in line]
    assert said == ["base:", "step:", "top:"]
    assert note.read_text() == "done\n"
    pids = [_pid(keeper, "base"), _pid(keeper, "top"), keeper.pid() or 0]
    running = [psutil.Process(pid) for pid in pids]
    assert running[0].environ()["KEY"] == "50%;#1"
    assert processes.recorded(state.pids / "top.pid") == running[1]
    began = time.monotonic()
    keeper.stop()
    assert time.monotonic() - began < PATIENCE_SECONDS
    assert not any(processes.alive(process) for process in running)


async def test_a_child_that_dies_is_started_again(
    state: State, report: Report, child: Child
) -> None:
    keeper = await _up(state, report, child("worker"))
    before = _pid(keeper, "worker")
    os.kill(before, signal.SIGKILL)
    _until(lambda: _pid(keeper, "worker") not in {0, before})
    _until(lambda: processes.recorded(state.pids / "worker.pid"))
    assert processes.recorded(state.pids / "worker.pid") == psutil.Process(_pid(keeper, "worker"))


async def test_what_does_not_become_ready_shows_its_log_and_a_hint(
    state: State, report: Report, child: Child
) -> None:
    broken = replace(
        child("broken"),
        command=(sys.executable, "-c", "raise SystemExit('no such table: orders')"),
        ready_seconds=1.0,
        hint="run the migration",
    )
    with pytest.raises(NotReadyError) as failure:
        await _up(state, report, broken)
    assert "broken: not ready after 1 s" in failure.value.message
    assert "no such table: orders" in failure.value.message
    assert failure.value.message.endswith("try: run the migration")


async def test_a_step_that_fails_ends_the_other_waits(
    state: State, report: Report, tmp_path: Path
) -> None:
    def step(name: str, script: str) -> Step:
        command = ("/bin/sh", "-c", script)
        return Step(name=name, command=command, directory=tmp_path, bound_seconds=30)

    began = time.monotonic()
    with pytest.raises(NotReadyError, match=r"migrate: ended with 3[\s\S]*out of disk"):
        await _up(state, report, step("migrate", "echo out of disk; exit 3"), step("s", "sleep 20"))
    assert time.monotonic() - began < PATIENCE_SECONDS


async def test_children_of_a_killed_supervisord_are_ended_by_the_next_run(
    state: State, report: Report, child: Child
) -> None:
    keeper = await _up(state, report, child("worker"), child("relay"))
    pids = [_pid(keeper, "worker"), _pid(keeper, "relay")]
    os.kill(keeper.pid() or 0, signal.SIGKILL)
    _until(lambda: keeper.pid() is None)
    orphans = [psutil.Process(pid) for pid in pids]
    assert all(processes.alive(process) for process in orphans)
    assert leftovers.end(state) == ["relay", "worker"]
    assert not any(processes.alive(process) for process in orphans)
    again = await _up(state, report, child("worker"))
    assert again.pid() is not None


def test_a_reused_pid_is_left_alone(state: State) -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as innocent:
        (state.pids / "api.pid").write_text(f"{innocent.pid}\n/bin/python\n-m\napi\n")
        (state.pids / "broken.pid").write_text("x")
        assert leftovers.end(state) == []
        assert innocent.poll() is None
        (state.pids / "api.pid").write_text(f"{innocent.pid}\n/bin/sleep\n60\n")
        assert leftovers.end(state) == ["api"]
        assert innocent.wait() == -signal.SIGTERM


def test_a_leftover_that_ignores_the_request_is_killed() -> None:
    script = 'trap "" TERM; sleep 60 & echo ready; wait; wait'
    command = ["/bin/sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as stubborn:
        assert stubborn.stdout
        assert stubborn.stdout.readline() == "ready\n"
        processes.end([psutil.Process(stubborn.pid)], seconds=0.3)
        assert stubborn.wait() == -signal.SIGKILL


async def test_waiting_is_told(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.report.PLAIN_TICK_SECONDS", 0.05)
    async with report:
        with report.waiting("temporal"):
            report.note("temporal", "7 packages compiled")
            await asyncio.sleep(0.2)
    assert "waiting for temporal 0 s (7 packages compiled)" in text(report)
