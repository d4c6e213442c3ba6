"""Where the `temporal` binary comes from: a setting, PATH, the cache, a download, or a build."""

import asyncio
import os
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import click

from cli.report import Report
from services.settings import Settings

VERSION = "1.5.1"
"""Later tags can't be installed with `go install`: they replace a module that is on no proxy."""
MODULE = f"github.com/temporalio/cli/cmd/temporal@v{VERSION}"
FIRST_BYTE_SECONDS = 15.0
DOWNLOAD_SECONDS = 900.0
BUILD_SECONDS = 1800.0
POLL_SECONDS = 0.5
MEGABYTE = 1_000_000
DOWNLOAD_FAILED = "the SDK's download failed (no internet?)"
DOWNLOADER = f"""
import asyncio, os, sys
from temporalio.testing import WorkflowEnvironment
async def main():
    server = await WorkflowEnvironment.start_local(
        download_dest_dir=sys.argv[1], dev_server_download_version="v{VERSION}")
    await server.shutdown()
asyncio.run(main())
os._exit(0)
"""


@dataclass(frozen=True, slots=True)
class Binary:
    """A `temporal` that is there, and where it was found."""

    path: Path
    source: str


def cached() -> Path:
    """Where a downloaded or built binary is kept, outside the tree, for all clones."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    folder = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return folder / "paotui" / f"temporal-{VERSION}" / "temporal"


def find(configured: Settings) -> Binary | None:
    """The binary that is there already; refuses a setting that names none."""
    if configured.temporal_binary:
        path = Path(configured.temporal_binary).expanduser().absolute()
        if not os.access(path, os.X_OK):
            raise click.ClickException(f"PAOTUI_TEMPORAL_BINARY={path} can't be executed")
        return Binary(path, "PAOTUI_TEMPORAL_BINARY")
    if on_path := shutil.which("temporal"):
        return Binary(Path(on_path).absolute(), "PATH")
    return Binary(cached(), "cache") if os.access(cached(), os.X_OK) else None


async def acquire(configured: Settings, report: Report) -> Binary:
    """The binary, fetched or built first when there is none; minutes, the first time."""
    if found := find(configured):
        return found
    failures: list[str] = []
    for way in (_download, _build):
        failure = await way(cached(), report)
        if not failure:
            return Binary(cached(), "cache")
        report.say(f"temporal: {failure}")
        failures.append(failure)
    raise click.ClickException(
        "there is no Temporal server. Tried, in this order: PAOTUI_TEMPORAL_ADDRESS and "
        "PAOTUI_TEMPORAL_BINARY (not set); `temporal` on PATH (not there); "
        f"{cached()} (not there); " + "; ".join(failures) + ". "
        "Set one of the two, put a `temporal` binary on PATH, allow the download, or install Go."
    )


async def _download(target: Path, report: Report) -> str:
    partial = _fresh(target.with_name("download.partial"))
    report.say(f"temporal: downloading v{VERSION} through the SDK")
    command = (sys.executable, "-c", DOWNLOADER, str(partial))
    # The SDK shows no progress of its own; bytes that arrive in its folder do.
    process = await asyncio.create_subprocess_exec(*command, stdout=DEVNULL, stderr=DEVNULL)
    with report.waiting("temporal download"):
        failure = await _watch_download(process, partial, report)
    if failure:
        shutil.rmtree(partial)
        return failure
    return "" if _keep(partial, target) else DOWNLOAD_FAILED


async def _watch_download(process: asyncio.subprocess.Process, folder: Path, report: Report) -> str:
    waited = 0.0
    try:
        while process.returncode is None:
            arrived = _bytes_in(folder)
            report.note("temporal download", f"{arrived // MEGABYTE} MB")
            if waited > (DOWNLOAD_SECONDS if arrived else FIRST_BYTE_SECONDS):
                return f"the SDK's download gave {arrived // MEGABYTE} MB in {waited:.0f} s"
            await asyncio.sleep(POLL_SECONDS)
            waited += POLL_SECONDS
        return "" if process.returncode == 0 else DOWNLOAD_FAILED
    finally:
        await _end(process)


async def _build(target: Path, report: Report) -> str:
    go = shutil.which("go")
    if go is None:
        return "no Go toolchain on PATH to build it with"
    partial = _fresh(target.with_name("build.partial"))
    report.say(f"temporal: building v{VERSION} with {go}; some minutes, once for all clones")
    packages = 0

    def show(line: str) -> None:
        nonlocal packages
        if " " in line:
            report.say(f"temporal build: {line}")
        else:
            packages += 1
            report.note("temporal build", f"{packages} packages compiled")

    with report.waiting("temporal build"):
        # -v names each package as it is compiled; Go's own caches make a second try go on.
        code = await _run((go, "install", "-v", MODULE), {"GOBIN": str(partial)}, show)
    if code == 0 and _keep(partial, target):
        return ""
    shutil.rmtree(partial, ignore_errors=True)
    return f"`go install {MODULE}` ended with {code}"


async def _run(
    command: tuple[str, ...],
    environment: Mapping[str, str],
    each_line: Callable[[str], None],
) -> int:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, env=os.environ | environment
    )
    try:
        async with asyncio.timeout(BUILD_SECONDS):
            while process.stdout is not None and (line := await process.stdout.readline()):
                each_line(line.decode(errors="replace").rstrip())
            return await process.wait()
    except TimeoutError:
        return -1
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
        await process.wait()


def _keep(partial: Path, target: Path) -> bool:
    """Move the one program that was made in that folder to its place, and drop the folder."""
    programs = [path for path in partial.iterdir() if path.is_file() and os.access(path, os.X_OK)]
    if programs:
        programs[0].replace(target)
    shutil.rmtree(partial)
    return bool(programs)


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
