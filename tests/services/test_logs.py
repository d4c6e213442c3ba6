"""Log lines are JSON with ids, and hold nothing that an exception or an object quotes."""

import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import structlog

from domain.errors import SoldOut
from services import logs

CANARY = "13800138000"


class Payload:
    """Something whose text must not appear."""

    def __repr__(self) -> str:
        return CANARY


@pytest.fixture
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    quiet = {name: logging.getLogger(name).level for name in logs.QUIET}
    yield
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    root.handlers = handlers
    root.setLevel(level)
    for name, before in quiet.items():
        logging.getLogger(name).setLevel(before)


@pytest.fixture
def configured(
    restored: None,  # noqa: ARG001
    capsys: pytest.CaptureFixture[str],
) -> pytest.CaptureFixture[str]:
    return capsys


def lines(captured: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in captured.readouterr().out.splitlines()]


def test_a_line_has_its_fields_and_the_bound_ids(configured: pytest.CaptureFixture[str]) -> None:
    logs.configure("test", "debug")
    with structlog.contextvars.bound_contextvars(order_id="o1", request_id="r1"):
        structlog.get_logger("here").info("accepted", seq=3)
        logging.getLogger("there").info("counted %d", 7)
    first, second = lines(configured)
    assert first.pop("at").endswith("Z")
    assert first == {
        "event": "accepted",
        "seq": 3,
        "order_id": "o1",
        "request_id": "r1",
        "level": "info",
        "logger": "here",
        "service": "test",
    }
    assert second["event"] == "counted 7"
    assert second["order_id"] == "o1"
    assert set(second) == set(first) - {"seq"} | {"at"}


def test_temporals_loggers_give_ids(configured: pytest.CaptureFixture[str]) -> None:
    logs.configure("test", "debug")
    details = {"workflow_id": "refund/" + "a" * 26 + "r01", "attempt": 2, "run_id": "x"}
    logging.getLogger("temporalio.workflow").info("said", extra={"temporal_workflow": details})
    [line] = lines(configured)
    assert line["workflow_id"] == details["workflow_id"]
    assert line["order_id"] == "a" * 26
    assert line["attempt"] == 2
    assert "temporal_workflow" not in line


def test_payload_dumps_of_the_sdk_stay_out(configured: pytest.CaptureFixture[str]) -> None:
    logs.configure("test", "debug")
    logging.getLogger("temporalio.worker").debug("activation %s", CANARY)
    logging.getLogger("httpx").info("GET %s", CANARY)
    assert lines(configured) == []


def test_an_exception_tells_kind_and_place_but_not_its_text(
    configured: pytest.CaptureFixture[str],
) -> None:
    logs.configure("test", "debug")
    try:
        try:
            raise SoldOut("only two left")  # noqa: TRY301  a cause is wanted
        except SoldOut as error:
            raise ValueError(CANARY) from error
    except ValueError:
        logging.getLogger("x").exception("failed")
        structlog.get_logger("y").exception("failed")
    foreign, own = lines(configured)
    assert foreign["error"] == own["error"]
    outer, inner = own["error"]
    assert outer["type"] == "builtins.ValueError"
    assert "text" not in outer
    assert outer["frames"][-1].endswith("test_an_exception_tells_kind_and_place_but_not_its_text")
    assert inner["text"] == "only two left"
    assert CANARY not in json.dumps([foreign, own])


async def test_a_database_error_tells_its_state_but_no_value(
    configured: pytest.CaptureFixture[str], postgres_url: str
) -> None:
    logs.configure("test", "debug")
    connection = await psycopg.AsyncConnection.connect(postgres_url)
    async with connection:
        try:
            await connection.execute("SELECT CAST(%s AS integer)", [f"tel {CANARY}"])
        except psycopg.Error:
            logging.getLogger("x").exception("failed")
    [line] = lines(configured)
    assert line["error"][0]["sqlstate"] == "22P02"
    assert CANARY not in json.dumps(line)


def test_what_is_no_json_is_named_not_printed(configured: pytest.CaptureFixture[str]) -> None:
    logs.configure("test", "debug")
    structlog.get_logger("x").info("odd", payload=Payload())
    [line] = lines(configured)
    assert line["payload"] == "<Payload>"


def test_warnings_are_lines(configured: pytest.CaptureFixture[str]) -> None:
    logs.configure("test", "debug")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)
    [line] = lines(configured)
    assert line["logger"] == "py.warnings"
    assert line["level"] == "warning"
