"""Logs: one JSON object per line on stdout, with ids; never payloads, arguments or free text."""

import logging
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any

import orjson
import structlog
from structlog.types import EventDict, ExcInfo, Processor

from domain.errors import DomainError
from domain.ids import order_of

MAX_FRAMES = 12
MAX_CAUSES = 5
QUIET = {"temporalio": logging.INFO, "httpx": logging.WARNING, "httpcore": logging.WARNING}
"""Lowest level let through: Temporal's SDK dumps decoded payloads at `debug`, httpx every URL."""


def configure(service: str, level: str = "info") -> None:
    """Send everything, the standard library's records included, to stdout as JSON lines.

    Ids bound by `structlog.contextvars` (order_id, workflow_id, request_id, …) are on each line.
    """
    lowest = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        _say_error,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_add_temporal_ids, *shared],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _name_service(service),
                _render,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(lowest)
    for name, floor in QUIET.items():
        logging.getLogger(name).setLevel(max(lowest, floor))
    logging.captureWarnings(capture=True)


def describe(error: BaseException) -> dict[str, Any]:
    """An exception without what may be personal: kind, place, causes, and a text if it is safe.

    Texts of drivers and validators quote values, so that only those of our own named facts and of
    the operating system are repeated; a database's error gives its SQLSTATE.
    """
    told: dict[str, Any] = {"type": f"{type(error).__module__}.{type(error).__qualname__}"}
    if isinstance(error, DomainError | OSError):
        told["text"] = str(error)
    if sqlstate := getattr(getattr(error, "orig", error), "sqlstate", None):
        told["sqlstate"] = sqlstate
    frames = traceback.extract_tb(error.__traceback__)[-MAX_FRAMES:]
    told["frames"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
    return told


def _say_error(_: object, __: str, event: EventDict) -> EventDict:
    given: ExcInfo | BaseException | bool | None = event.pop("exc_info", None)
    if given is True:
        given = sys.exc_info()[1]
    error = given[1] if isinstance(given, tuple) else given
    chain: list[dict[str, Any]] = []
    while isinstance(error, BaseException) and len(chain) < MAX_CAUSES:
        chain.append(describe(error))
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if chain:
        event["error"] = chain
    return event


def _add_temporal_ids(_: object, __: str, event: EventDict) -> EventDict:
    """Fields from what Temporal's workflow and activity loggers put on their records."""
    record = event["_record"]
    for source in ("temporal_workflow", "temporal_activity"):
        known: MutableMapping[str, Any] = getattr(record, source, {})
        for name in ("workflow_id", "workflow_type", "activity_type", "attempt"):
            if name in known:
                event[name] = known[name]
    kind, _, name = str(event.get("workflow_id", "")).partition("/")
    if kind in {"order", "recover", "refund"}:
        event["order_id"] = order_of(name)
    return event


def _name_service(service: str) -> Processor:
    def add(_: object, __: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return add


def _render(_: object, __: str, event: EventDict) -> str:
    return orjson.dumps(event, default=lambda value: f"<{type(value).__name__}>").decode()
