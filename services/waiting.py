"""What is open between us and the channels, how much and how old: figures, never decisions."""

from dataclasses import dataclass

from sqlalchemy import text

from services.db import Reader


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """All of one kind at one channel."""

    channel: str
    what: str
    """`unknown` (attempts), `hold`, `refund` or `fact` (money told of and not yet applied)."""
    count: int
    oldest_seconds: float


_LOOK = text("""
WITH waiting AS (
  SELECT 'unknown' AS what, channel, created_at AS since FROM payment_attempts
  WHERE state = 'unknown'
  UNION ALL
  SELECT 'hold', channel, paid_at FROM payment_attempts WHERE state = 'authorized'
  UNION ALL
  SELECT 'refund', c.channel, r.created_at
  FROM refunds r JOIN channel_accounts c USING (account_id) WHERE r.ended_at IS NULL
  UNION ALL
  SELECT 'fact', channel, received_at FROM inbox WHERE applied_at IS NULL AND kind = 'payment'
)
SELECT channel, what, count(*) AS count,
  CAST(extract(epoch FROM now() - min(since)) AS double precision) AS oldest_seconds
FROM waiting GROUP BY channel, what
""")


async def look(reader: Reader) -> list[Waiting]:
    """Every channel and kind of which something is open."""
    return [Waiting(**row._mapping) for row in await reader.all(_LOOK)]  # noqa: SLF001
