"""Facts on their way to a workflow: stored first, told by the relay until confirmed."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text

from services.db import Writer
from services.events import dumps

_TELL = text("""
INSERT INTO facts (site_id, order_id, workflow_id, name, body)
VALUES (:site_id, :order_id, :workflow_id, :name, CAST(:body AS jsonb))
""")


async def tell(
    writer: Writer,
    *,
    site_id: str,
    order_id: str,
    workflow_id: str,
    name: str,
    body: Mapping[str, Any],
) -> None:
    """Store a signal `name(body)` for a workflow in the caller's transaction."""
    await writer.run(
        _TELL,
        {
            "site_id": site_id,
            "order_id": order_id,
            "workflow_id": workflow_id,
            "name": name,
            "body": dumps(body),
        },
    )
