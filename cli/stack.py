"""The table of the stack: its parts, their commands, addresses and what each of them needs."""

import asyncio
import getpass
import os
import shutil
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import click
from pydantic import SecretStr

from cli import bundled, postgres, probes
from cli.component import Component, Step, Tier
from cli.ports import PREFERRED
from cli.stack_file import as_environment
from cli.state import State
from services.settings import Settings

PROJECT = Path(__file__).resolve().parent.parent
RETENTION_HOURS = 30 * 24
"""Closed orders stay in Temporal for at least 30 days: request keys answer from them."""
RETENTION_CALL_SECONDS = 30.0
SEARCH_ATTRIBUTES = ("OrderStatus", "Site", "Shop", "CloseReason")
"""All of type Keyword; set by the workflows at milestones."""
SERVICES = {
    "api": "api",
    "worker": "workers.orders",
    "matcher": "workers.matcher",
    "relay": "workers.relay",
    "finance": "workers.finance",
    "live": "api.live",
}
POSITIONS = {"positions": "workers.positions"}
"""Only where there is an MQTT broker."""
FOUNDATION = ("temporal", "postgres", "valkey", "sandbox")
OWN_PORTS = ("api", "api_tls", "live")
"""Ports with a setting of their own."""
MQTT_SOCKET = "mqtt.sock"
MQTT_ACL = """user paotui/ingest
topic read paotui/+/riders/+/positions

pattern write paotui/%u/positions
"""
"""A rider's name is `<site>/riders/<rider>`: the door lets nobody in under another one."""
ALWAYS_WRITTEN = {
    "home",
    "api_port",
    "api_tls_port",
    "live_port",
    "public_url",
    "temporal_namespace",
}
PORTS_OF = {
    "temporal": ("temporal", "temporal_ui"),
    "postgres": ("postgres",),
    "valkey": ("valkey",),
    "sandbox": ("sandbox_control", "sandbox_tls", "sandbox_proxy"),
}


def embedded(configured: Settings) -> tuple[str, ...]:
    """The foundation's parts that no setting points elsewhere, so that they are started here."""
    elsewhere = {
        "temporal": bool(configured.temporal_address),
        "postgres": bool(configured.database_url),
        "valkey": bool(configured.redis_url),
        "sandbox": not configured.sandboxed,
    }
    return tuple(name for name in FOUNDATION if not elsewhere[name])


def mosquitto_binary(configured: Settings) -> str:
    """The broker to embed; empty where a setting points elsewhere or none is found."""
    if configured.mqtt_url or not configured.mosquitto:
        return ""
    # Debian's lies where only root's PATH leads.
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/usr/local/sbin"
    return shutil.which(configured.mosquitto, path=path) or ""


def services_of(resolved: Settings) -> dict[str, str]:
    """Paotui's own processes, by name, with their modules."""
    return SERVICES | (POSITIONS if resolved.mqtt_url else {})


def wanted_ports(configured: Settings) -> dict[str, int]:
    """The ports this stack needs, by name."""
    here = embedded(configured)
    unneeded = {port for part, ports in PORTS_OF.items() if part not in here for port in ports}
    if not mosquitto_binary(configured):
        unneeded |= {"mqtt"} | (set() if configured.mqtt_url else {"positions_metrics"})
    chosen = {name: getattr(configured, f"{name}_port") for name in OWN_PORTS}
    return {name: port for name, port in (PREFERRED | chosen).items() if name not in unneeded}


def fixed_ports(configured: Settings) -> set[str]:
    """The names of ports that the environment gives, so that the last run's choice doesn't."""
    return {name for name in OWN_PORTS if f"{name}_port" in configured.model_fields_set}


def resolve(configured: Settings, state: State, ports: Mapping[str, int]) -> Settings:
    """The settings that the running parts see: what the environment says, and the embedded rest."""
    here = embedded(configured)
    found: dict[str, object] = {
        "home": state.home,
        "api_port": ports["api"],
        "api_tls_port": ports["api_tls"],
        "api_url": f"http://127.0.0.1:{ports['api']}",
        "live_port": ports["live"],
        "live_url": f"http://127.0.0.1:{ports['live']}",
    }
    for name in ("token_key", "payload_key", "personal_key"):
        if not getattr(configured, name).get_secret_value():
            found[name] = SecretStr(state.key(name))
    if "temporal" in here:
        ui = ports["temporal_ui"]
        found |= {
            "temporal_address": f"127.0.0.1:{ports['temporal']}",
            "temporal_ui_url": f"http://127.0.0.1:{ui}",
            "temporal_ui_origins": f"http://127.0.0.1:{ui},http://localhost:{ui}",
            "codec_open": True,
        }
    if "postgres" in here:
        found["database_url"] = postgres.url(ports["postgres"], state.password("postgres_password"))
    if "valkey" in here:
        found["redis_url"] = f"redis://127.0.0.1:{ports['valkey']}/0"
    if mosquitto_binary(configured):
        found["mqtt_url"] = f"mqtt://127.0.0.1:{ports['mqtt']}"
        found["mqtt_socket"] = str(state.run / MQTT_SOCKET)
    if "sandbox" in here:
        folder = state.home / "sandbox"
        certificate = folder / "tls" / str(urlsplit(configured.public_url).hostname)
        found |= {
            "sandbox_url": f"http://127.0.0.1:{ports['sandbox_control']}",
            "gateway_proxy": f"http://127.0.0.1:{ports['sandbox_proxy']}",
            "gateway_ca": str(folder / "ca.pem"),
            "tls_certificate": f"{certificate}.pem",
            "tls_key": f"{certificate}.key",
        }
    return configured.model_copy(update=found)


def environment(configured: Settings, resolved: Settings) -> dict[str, str]:
    """The variables that make another process see the resolved settings."""
    changed = {
        name
        for name in Settings.model_fields
        if getattr(resolved, name) != getattr(configured, name)
    }
    known = changed | configured.model_fields_set | ALWAYS_WRITTEN
    return as_environment(resolved, known - {"metrics_port", "temporal_binary"})


def addresses(resolved: Settings, ports: Mapping[str, int]) -> list[tuple[str, str]]:
    """What a person may open."""
    rows = [
        ("API", resolved.api_url),
        ("live hub", resolved.live_url),
        ("OpenAPI docs", f"{resolved.api_url}/docs"),
        ("Temporal UI", resolved.temporal_ui_url),
        ("Temporal", resolved.temporal_address),
        ("sandbox control", resolved.sandbox_url),
        ("MQTT", resolved.mqtt_url),
        *(
            (f"metrics: {name}", f"{own_url(name, ports)}/metrics")
            for name in services_of(resolved)
        ),
    ]
    return [(label, address) for label, address in rows if address]


def own_url(service: str, ports: Mapping[str, int]) -> str:
    """Where a service's own loopback port with /healthz, /readyz and /metrics is."""
    return f"http://127.0.0.1:{ports[f'{service}_metrics']}"


def ready_urls(resolved: Settings, ports: Mapping[str, int]) -> dict[str, str]:
    """Each service's /readyz."""
    own = {name: f"{own_url(name, ports)}/readyz" for name in services_of(resolved)}
    return own | {"api": f"{resolved.api_url}/readyz"}


def temporal(
    binary: Path, configured: Settings, state: State, ports: Mapping[str, int]
) -> Component:
    """The development server with its UI, one database file and the settings measured best."""
    address, namespace = f"127.0.0.1:{ports['temporal']}", configured.temporal_namespace
    command = [str(binary), "server", "start-dev"]
    command += ["--ip", "127.0.0.1", "--port", str(ports["temporal"])]
    command += ["--ui-ip", "127.0.0.1", "--ui-port", str(ports["temporal_ui"])]
    command += ["--ui-codec-endpoint", f"http://127.0.0.1:{ports['api']}/codec"]
    command += ["--db-filename", str(state.home / "temporal" / "temporal.db")]
    command += ["--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL"]
    command += ["--namespace", namespace, "--log-level", "warn"]
    # Without it timers under a second fire after a second.
    command += ["--dynamic-config-value", 'history.timerProcessorMaxTimeShift="10ms"']
    command += ["--dynamic-config-value", "system.enableActivityEagerExecution=true"]
    for name in SEARCH_ATTRIBUTES:
        command += ["--search-attribute", f"{name}=Keyword"]
    retention = [str(binary), "operator", "namespace", "update", "--namespace", namespace]
    retention += ["--retention", f"{RETENTION_HOURS}h", "--address", address]
    return Component(
        name="temporal",
        tier=Tier.FOUNDATION,
        command=tuple(command),
        ready=probes.http(f"http://127.0.0.1:{ports['temporal_ui']}/api/v1/namespaces/{namespace}"),
        directory=state.home,
        after_ready=_call(*retention),
        hint="`paotui logs temporal`; a database of a newer Temporal can't be read: `paotui reset`",
    )


def postgresql(placement: postgres.Placement, state: State, ports: Mapping[str, int]) -> Component:
    """The server of the wheel."""
    port, password = ports["postgres"], state.password("postgres_password")
    return Component(
        name="postgres",
        tier=Tier.FOUNDATION,
        command=placement.command(port),
        ready=probes.postgresql(postgres.url(port, password, "postgres")),
        directory=Path("/"),
        user=placement.user.pw_name if placement.user else "",
        stop_signal="INT",
        pid_file=placement.pid_file,
        after_ready=lambda: postgres.ensure_database(port, password),
        hint="`paotui logs postgres`; or point PAOTUI_DATABASE_URL at a server of your own",
    )


def redis(state: State, ports: Mapping[str, int]) -> Component:
    """The Valkey of the wheel, with an append-only file."""
    options = {
        "--bind": "127.0.0.1",
        "--port": str(ports["valkey"]),
        "--dir": str(state.home / "valkey"),
        "--appendonly": "yes",
        "--save": "",
        # A leftover is recognised by the command line it was started with.
        "--set-proc-title": "no",
    }
    words = [word for option in options.items() for word in option]
    return Component(
        name="valkey",
        tier=Tier.FOUNDATION,
        command=(str(bundled.valkey()), *words),
        ready=probes.redis_protocol(f"redis://127.0.0.1:{ports['valkey']}/0"),
        directory=state.home,
        hint="`paotui logs valkey`; or point PAOTUI_REDIS_URL at a server of your own",
    )


def mosquitto(binary: str, state: State) -> Component:
    """Debian's MQTT broker on a private socket; `workers.positions` is its door."""
    folder, socket = state.home / "mqtt", state.run / MQTT_SOCKET
    (folder / "acl").write_text(MQTT_ACL)
    (folder / "mosquitto.conf").write_text(
        f"listener 0 {socket}\nallow_anonymous true\nacl_file {folder / 'acl'}\n"
        f"persistence false\nmax_packet_size 65536\nmax_queued_messages 1000\n"
        f"user {getpass.getuser()}\nlog_dest stdout\nlog_type error\n"
    )
    return Component(
        name="mosquitto",
        tier=Tier.FOUNDATION,
        command=(binary, "-c", str(folder / "mosquitto.conf")),
        ready=probes.unix_socket(socket),
        directory=state.home,
        hint="`paotui logs mosquitto`; or PAOTUI_MOSQUITTO= to do without MQTT",
    )


def sandbox(configured: Settings, state: State, ports: Mapping[str, int]) -> Component:
    """The simulated outside world; it makes the certificates that the API serves notices with."""
    public = urlsplit(configured.public_url).hostname
    return Component(
        name="sandbox",
        tier=Tier.FOUNDATION,
        command=(sys.executable, "-m", "sandbox"),
        ready=probes.http(f"http://127.0.0.1:{ports['sandbox_control']}/healthz"),
        directory=PROJECT,
        environment={
            "PYTHONUNBUFFERED": "1",
            "SANDBOX_HOME": str(state.home / "sandbox"),
            "SANDBOX_CONTROL_PORT": str(ports["sandbox_control"]),
            "SANDBOX_TLS_PORT": str(ports["sandbox_tls"]),
            "SANDBOX_PROXY_PORT": str(ports["sandbox_proxy"]),
            "SANDBOX_PUBLIC_MAP": f"{public}=127.0.0.1:{ports['api_tls']}",
        },
        hint="`paotui logs sandbox`",
    )


def services(
    variables: Mapping[str, str], resolved: Settings, ports: Mapping[str, int]
) -> list[Component | Step]:
    """Migrations, the seed and Paotui's own processes."""
    base = {"PYTHONUNBUFFERED": "1", **variables}
    steps = {"migrate": ("services.migrate", ("postgres",)), "seed": ("workers.seed", FOUNDATION)}
    urls = ready_urls(resolved, ports)
    return [
        *(
            Step(
                name=name,
                command=(sys.executable, "-m", module),
                needs=(*needs, "migrate") if name == "seed" else needs,
                environment=base,
                directory=PROJECT,
                hint=f"`paotui logs {name}`",
            )
            for name, (module, needs) in steps.items()
        ),
        *(
            Component(
                name=name,
                tier=Tier.SERVICES,
                command=(sys.executable, "-m", module),
                ready=probes.http(urls[name]),
                needs=("seed",),
                environment=base | {"PAOTUI_METRICS_PORT": str(ports[f"{name}_metrics"])},
                directory=PROJECT,
                hint=f"`paotui logs {name}`; `paotui doctor`",
            )
            for name, module in services_of(resolved).items()
        ),
    ]


def _call(*command: str) -> Callable[[], Awaitable[None]]:
    async def call() -> None:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, env=os.environ | _NO_PROFILE
        )
        async with asyncio.timeout(RETENTION_CALL_SECONDS):
            output, _ = await process.communicate()
        if process.returncode != 0:
            text = output.decode(errors="replace")
            raise click.ClickException(f"`{' '.join(command)}` failed:\n{text}")

    return call


_NO_PROFILE = {"TEMPORAL_CONFIG_FILE": os.devnull}
"""A person's own Temporal profile must not redirect calls to the embedded server."""
