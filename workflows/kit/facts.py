"""What signals carry: read by hand, so that nonsense is a named refusal and never a stuck task."""

import json
from collections.abc import Sequence
from typing import Any

from temporalio.common import RawValue

from domain.errors import Invalid

MAX_SIGNAL_BYTES = 16_384
MAX_ROW = 2**63
"""PostgreSQL's bigint."""


def read(args: Sequence[RawValue]) -> dict[str, Any]:
    """The one JSON object of a signal; raises Invalid for anything else."""
    if not args:
        return {}
    payload = args[0].payload
    encoding = payload.metadata.get("encoding", b"").decode("ascii", "replace")
    if encoding != "json/plain":
        raise Invalid("not JSON", encoding=encoding[:64])
    if len(payload.data) > MAX_SIGNAL_BYTES:
        raise Invalid("too large", bytes=len(payload.data))
    try:
        value = json.loads(payload.data)
    except (ValueError, RecursionError):
        raise Invalid("not JSON") from None
    if not isinstance(value, dict):
        raise Invalid("not a JSON object")
    return value


def whole_number(data: dict[str, Any], name: str) -> int:
    """A field that must be a row's number; raises Invalid."""
    value = data.get(name)
    if type(value) is not int or not 0 < value < MAX_ROW:
        raise Invalid("wrong shape", field=name)
    return value
