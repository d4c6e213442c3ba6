"""What the doctor looks at: one function per dependency, each with a fix for what it finds."""

import base64
import binascii
import ipaddress
import shutil
import stat
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import click
import httpx
import psycopg

from cli import bundled, postgres, probes, stack, temporal
from cli.component import Probe
from cli.ports import remembered
from cli.state import KEY_BYTES, State
from cli.supervision import Keeper
from services.settings import Settings, of_stack

LEAST_PYTHON = (3, 11)
LOW_DISK_BYTES = 5_000_000_000
FULL_DISK_BYTES = 1_000_000_000
CLOCK_SKEW_SECONDS = 5.0
"""Gateways refuse a signature's time that is minutes off; seconds show that something drifts."""
PRIVATE_SUFFIXES = (".local", ".localhost", ".internal", ".lan")


class Verdict(StrEnum):
    """How serious a finding is."""

    OK = "ok"
    """Nothing to do."""
    WARN = "warn"
    """Works, with a limit."""
    FAIL = "fail"
    """Will not work until mended."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor; `fix` is empty when there is nothing to do."""

    name: str
    verdict: Verdict
    detail: str
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Patient:
    """A stack, running or not: what the environment says, and what the stack's file adds."""

    configured: Settings
    seen: Settings
    state: State
    running: bool

    @classmethod
    def of(cls, configured: Settings) -> Self:
        """The stack of the state folder that the environment names."""
        state = State.at(configured.home)
        return cls(configured, of_stack(state.home), state, Keeper(state).pid() is not None)


Examination = Callable[[Patient, httpx.AsyncClient], Awaitable[list[Finding]]]


async def python(_: Patient, __: httpx.AsyncClient) -> list[Finding]:
    """The interpreter's version."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info >= LEAST_PYTHON:
        return [Finding("python", Verdict.OK, version)]
    return [Finding("python", Verdict.FAIL, version, "install Python 3.11 or later")]


async def disk(patient: Patient, _: httpx.AsyncClient) -> list[Finding]:
    """Room for the databases."""
    folder = next(
        path for path in (patient.state.home, *patient.state.home.parents) if path.exists()
    )
    free = shutil.disk_usage(folder).free
    detail = f"{free / 1e9:.1f} GB free at {folder}"
    if free >= LOW_DISK_BYTES:
        return [Finding("disk", Verdict.OK, detail)]
    verdict = Verdict.WARN if free >= FULL_DISK_BYTES else Verdict.FAIL
    return [Finding("disk", verdict, detail, "free some space, or set PAOTUI_HOME elsewhere")]


async def temporal_server(patient: Patient, client: httpx.AsyncClient) -> list[Finding]:
    """The address that was set, or the binary and its running server."""
    configured = patient.configured
    if configured.temporal_address:
        probe, fix = probes.tcp(configured.temporal_address), "check PAOTUI_TEMPORAL_ADDRESS"
        return [await _asked("temporal", configured.temporal_address, probe, client, fix)]
    try:
        found = temporal.find(configured)
    except click.ClickException as error:
        return [Finding("temporal", Verdict.FAIL, error.message, "name a binary, or unset it")]
    if found is None:
        way = "`paotui up` downloads it, or builds it with Go"
        if shutil.which("go"):
            return [Finding("temporal", Verdict.WARN, "no binary yet", f"{way} in some minutes")]
        fix = f"{way}, which is not installed; or put a `temporal` binary on PATH"
        return [Finding("temporal", Verdict.WARN, "no binary yet", fix)]
    if not patient.running:
        return [Finding("temporal", Verdict.OK, f"{found.path} ({found.source})")]
    url = f"{patient.seen.temporal_ui_url}/api/v1/namespaces/{patient.seen.temporal_namespace}"
    detail = f"{patient.seen.temporal_address} ({found.path})"
    return [await _asked("temporal", detail, probes.http(url), client, "`paotui logs temporal`")]


async def database(patient: Patient, client: httpx.AsyncClient) -> list[Finding]:
    """The server that was set, or the wheel's, and whether its user reaches it."""
    external = patient.configured.database_url
    if external or patient.running:
        place = urlsplit(external or patient.seen.database_url)
        detail = f"{place.hostname}:{place.port or 5432}{place.path}"
        fix = "check PAOTUI_DATABASE_URL" if external else "`paotui logs postgres`"
        probe = probes.postgresql(external or patient.seen.database_url)
        return [await _asked("postgres", detail, probe, client, fix)]
    notes: list[str] = []
    try:
        placement = postgres.place(patient.state, notes.append, copy=False)
    except click.ClickException as error:
        fix = "set PAOTUI_DATABASE_URL, or mend the folder's permissions"
        return [Finding("postgres", Verdict.FAIL, error.message, fix)]
    runner = f", run by {placement.user.pw_name}" if placement.user else ""
    detail = f"embedded{runner}, data in {placement.data}"
    if notes:
        fix = "nothing needs doing; `chmod o+x` on the folder above would keep all in one place"
        return [Finding("postgres", Verdict.WARN, "; ".join(notes), fix)]
    return [Finding("postgres", Verdict.OK, detail)]


async def redis(patient: Patient, client: httpx.AsyncClient) -> list[Finding]:
    """The server that was set, or the wheel's."""
    external = patient.configured.redis_url
    if external or patient.running:
        url = external or patient.seen.redis_url
        fix = "check PAOTUI_REDIS_URL" if external else "`paotui logs valkey`"
        place = urlsplit(url)
        detail = f"{place.hostname}:{place.port or 6379}"
        return [await _asked("valkey", detail, probes.redis_protocol(url), client, fix)]
    try:
        return [Finding("valkey", Verdict.OK, f"embedded, {bundled.valkey()}")]
    except click.ClickException as error:
        return [Finding("valkey", Verdict.FAIL, error.message, "set PAOTUI_REDIS_URL")]


async def gateway(patient: Patient, client: httpx.AsyncClient) -> list[Finding]:
    """The sandbox or the real gateways, and the rules for the address of their notices."""
    notice = notice_url(patient.configured.public_url)
    if not patient.configured.sandboxed and not patient.configured.sandbox_url:
        proxy = patient.configured.gateway_proxy or "no proxy"
        return [Finding("gateways", Verdict.OK, f"the real ones, {proxy}"), notice]
    if not patient.configured.sandbox_url and not patient.running:
        return [Finding("sandbox", Verdict.OK, "embedded, starts with `paotui up`"), notice]
    url = patient.configured.sandbox_url or patient.seen.sandbox_url
    probe = probes.http(f"{url}/healthz")
    return [await _asked("sandbox", url, probe, client, "`paotui logs sandbox`"), notice]


def notice_url(url: str) -> Finding:
    """WeChat Pay's rules: https, reachable from outside, no query (payments.md §1)."""
    fix = "set PAOTUI_PUBLIC_URL to https://<public name>, without query"
    place = urlsplit(url)
    host = place.hostname or ""
    for wrong, what in (
        (place.scheme != "https", "is not https"),
        (bool(place.query or place.fragment), "has a query or fragment"),
        (not _public(host), "has no public name"),
    ):
        if wrong:
            return Finding("notice url", Verdict.FAIL, f"{url} {what}", fix)
    return Finding("notice url", Verdict.OK, url)


async def keys(patient: Patient, _: httpx.AsyncClient) -> list[Finding]:
    """Three keys, long enough, readable by nobody else."""
    findings = []
    for name in ("token_key", "payload_key", "personal_key"):
        path = patient.state.keys / name
        value = getattr(patient.seen, name).get_secret_value()
        wrong = _wrong_key(value)
        if not value:
            detail = "made on first start"
            findings.append(Finding(name, Verdict.OK, detail))
        elif wrong and name != "token_key":
            fix = f"set PAOTUI_{name.upper()} to the base64 of {KEY_BYTES} random bytes"
            findings.append(Finding(name, Verdict.FAIL, wrong, fix))
        elif path.exists() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            findings.append(
                Finding(name, Verdict.FAIL, f"{path} can be read by others", f"chmod 600 {path}")
            )
        else:
            findings.append(Finding(name, Verdict.OK, "present"))
    return findings


async def clock(patient: Patient, _: httpx.AsyncClient) -> list[Finding]:
    """This machine's clock against the newest file here, and against another machine's."""
    fix = "set the clock, and keep it by NTP: gateways refuse signatures that are minutes off"
    newest = max(path.stat().st_mtime for path in Path(__file__).parent.glob("*.py"))
    if time.time() < newest - CLOCK_SKEW_SECONDS:
        return [Finding("clock", Verdict.FAIL, "stands before these files were written", fix)]
    if not patient.configured.database_url:
        return [Finding("clock", Verdict.OK, "later than the newest file")]
    try:
        async with await postgres.connect(patient.configured.database_url) as connection:
            rows = await connection.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
            row = await rows.fetchone()
    except (OSError, psycopg.Error):
        return [Finding("clock", Verdict.WARN, "the database can't be asked for its time", fix)]
    skew = abs(time.time() - float(str(row[0]))) if row else 0.0
    verdict = Verdict.OK if skew <= CLOCK_SKEW_SECONDS else Verdict.FAIL
    return [Finding("clock", verdict, f"{skew:.1f} s from the database's", fix)]


async def running(patient: Patient, client: httpx.AsyncClient) -> list[Finding]:
    """Each of Paotui's own processes by its /readyz."""
    if not patient.running:
        hint = "`paotui up` starts it"
        return [Finding("stack", Verdict.WARN, "not running from this folder", hint)]
    urls = stack.ready_urls(patient.seen, remembered(patient.state))
    return [
        await _asked(name, url, probes.http(url), client, f"`paotui logs {name}`")
        for name, url in urls.items()
    ]


ALL: tuple[Examination, ...] = (
    python,
    disk,
    temporal_server,
    database,
    redis,
    gateway,
    keys,
    clock,
    running,
)


async def _asked(
    name: str, detail: str, probe: Probe, client: httpx.AsyncClient, fix: str
) -> Finding:
    if reason := await probe(client):
        return Finding(name, Verdict.FAIL, reason, fix)
    return Finding(name, Verdict.OK, detail)


def _public(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return "." in host and not host.endswith(PRIVATE_SUFFIXES)


def _wrong_key(value: str) -> str:
    try:
        length = len(base64.b64decode(value, validate=True))
    except binascii.Error:
        return "is no base64"
    return "" if length == KEY_BYTES else f"holds {length} bytes instead of {KEY_BYTES}"
