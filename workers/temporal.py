"""What workers and the relay ask of Temporal beside running activities: tell, start, look."""

import asyncio
import logging
import socket
from collections.abc import Collection
from datetime import timedelta
from typing import Any

import httpx
from temporalio import activity, workflow
from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionAsyncIterator,
    WorkflowExecutionStatus,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)
from temporalio.service import RPCError, RPCStatusCode

from services.metrics import exposition
from services.settings import Settings
from workflows.kit.connect import connect

RPC_TIMEOUT = timedelta(seconds=5)
SCRAPE_SECONDS = 2.0
LOOPBACK = "127.0.0.1"


class WorkflowGone(Exception):
    """No workflow of this id is open: it has ended, or never was."""


class Telemetry:
    """The SDK's runtime: its logs go into ours, its metrics are served together with ours."""

    def __init__(self, *, metrics: bool) -> None:
        # As fields of the line (`services.logs`), not as a dictionary in its text.
        workflow.logger.workflow_info_on_message = False
        activity.logger.activity_info_on_message = False
        self._address = f"{LOOPBACK}:{_free_port()}" if metrics else ""
        self.runtime = Runtime(
            telemetry=TelemetryConfig(
                logging=LoggingConfig(
                    filter=TelemetryFilter(core_level="WARN", other_level="ERROR"),
                    forwarding=LogForwardingConfig(logger=logging.getLogger("temporal.core")),
                ),
                metrics=PrometheusConfig(
                    bind_address=self._address,
                    counters_total_suffix=True,
                    unit_suffix=True,
                    durations_as_seconds=True,
                )
                if metrics
                else None,
            )
        )

    async def exposition(self) -> bytes:
        """Our metrics and the SDK's in one text: one port to scrape per process."""
        if not self._address:
            return exposition()
        async with httpx.AsyncClient(trust_env=False, timeout=SCRAPE_SECONDS) as http:
            answer = await http.get(f"http://{self._address}/metrics")
        return exposition() + answer.content


class Workflows:
    """The workflows of the namespace; connects when first needed, so that Temporal may be away."""

    def __init__(self, settings: Settings, runtime: Runtime | None = None) -> None:
        self._settings = settings
        self._runtime = runtime
        self._connected: Client | None = None
        self._lock = asyncio.Lock()

    async def client(self) -> Client:
        """The connected client; raises RuntimeError while nobody answers."""
        async with self._lock:
            if self._connected is None:
                self._connected = await connect(self._settings, runtime=self._runtime)
            return self._connected

    async def check(self) -> None:
        """Raise unless the server answers."""
        await (await self.client()).service_client.check_health(timeout=RPC_TIMEOUT)

    async def tell(self, workflow_id: str, name: str, *body: Any) -> None:  # noqa: ANN401
        """Send a signal; raises WorkflowGone, or RPCError and RuntimeError to try again later."""
        handle = (await self.client()).get_workflow_handle(workflow_id)
        try:
            await handle.signal(name, args=body, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if is_gone(error):
                raise WorkflowGone(workflow_id) from error
            raise

    async def is_open(self, workflow_id: str) -> bool:
        """Whether its newest run is open, from the server's own record (not from visibility)."""
        handle = (await self.client()).get_workflow_handle(workflow_id)
        try:
            found = await handle.describe(rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if is_gone(error):
                return False
            raise
        return found.status is WorkflowExecutionStatus.RUNNING

    async def start(self, kind: str, workflow_id: str, value: object, *, queue: str) -> None:
        """Start a workflow unless one of this id is open."""
        await (await self.client()).start_workflow(
            kind,
            value,
            id=workflow_id,
            task_queue=queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            rpc_timeout=RPC_TIMEOUT,
        )

    async def page(
        self, query: str, *, rows: int, token: bytes | None = None
    ) -> tuple[Collection[WorkflowExecution], bytes | None]:
        """A page of visibility and the next page's token; it nominates, it never decides."""
        pages: WorkflowExecutionAsyncIterator = (await self.client()).list_workflows(
            query, page_size=rows, next_page_token=token, rpc_timeout=RPC_TIMEOUT
        )
        await pages.fetch_next_page()
        return pages.current_page or (), pages.next_page_token or None


def is_gone(error: RPCError) -> bool:
    """Whether the server knows no open workflow of this id; a missing namespace is no answer."""
    return error.status is RPCStatusCode.NOT_FOUND and "namespace" not in error.message.lower()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port
