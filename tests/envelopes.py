"""What a database holds of public events, held against the schema that the outside was promised."""

import json
from typing import Any

import psycopg
from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator

from services import envelope

EACH = 20
"""Of one type with the same names in its data."""
_EVENTS = """
WITH told AS (
  SELECT site_id, order_id, seq, type, at, data, v, row_number() OVER (
    PARTITION BY type, (SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(data) k)
    ORDER BY at DESC) AS nth
  FROM order_events WHERE type = ANY(%s)
)
SELECT CAST(jsonb_build_object('site_id', site_id, 'order_id', order_id, 'seq', seq, 'type', type,
  'at', at, 'data', data, 'v', v) AS text) FROM told WHERE nth <= %s
"""


def validator() -> Validator:
    """By the schema of this code."""
    Draft202012Validator.check_schema(envelope.schema())
    return Draft202012Validator(envelope.schema())


def wrong(database_url: str) -> list[str]:
    """What is wrong with its events, each kind of fault once: type, path, reason."""
    check, found = validator(), set()
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(_EVENTS, [list(envelope.EVENTS), EACH]).fetchall()
    for (message,) in rows:
        told: dict[str, Any] = json.loads(envelope.of(message))
        for error in check.iter_errors(told):
            found.add(f"{told['type']} {error.json_path}: {error.message[:200]}")
    return sorted(found)
