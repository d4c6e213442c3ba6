"""The laws of DESIGN §4 as questions to live data: each lists what breaks it, none is a pass."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from domain.orders import Status, may_follow
from services import ledger
from services.db import Reader

VIOLATIONS_SHOWN = 20
PAGE_ORDERS = 500

LAWS: Mapping[str, str] = {
    "1 refunds never exceed what was paid": """
        SELECT order_id, refunded_fen, paid_fen FROM orders
        WHERE refunded_fen > paid_fen AND {site}""",
    "1 each order's refunds add up to its row": """
        SELECT o.order_id, o.refunded_fen,
          coalesce(sum(r.amount_fen + r.credit_fen), 0) AS refunds_fen
        FROM orders o LEFT JOIN refunds r ON r.order_id = o.order_id AND r.source <> 'suspense'
        WHERE {o_site} GROUP BY o.order_id, o.refunded_fen
        HAVING o.refunded_fen <> coalesce(sum(r.amount_fen + r.credit_fen), 0)""",
    "1 credit is held, spent and let go with its order": """
        SELECT o.order_id, o.credit_fen, o.paid_fen, h.amount_fen AS held_fen, h.state
        FROM orders o LEFT JOIN credit_holds h ON h.hold_id = o.order_id
        WHERE (o.credit_fen > 0 OR h.hold_id IS NOT NULL) AND {o_site}
          AND (h.amount_fen IS DISTINCT FROM o.credit_fen OR h.state IS DISTINCT FROM
            CASE WHEN o.paid_fen > 0 THEN 'captured' WHEN o.ended_at IS NULL THEN 'held'
            ELSE 'released' END)""",
    "1 credit that went back is what refunds say": """
        SELECT h.order_id, sum(p.refunded_fen) AS back_fen FROM credit_holds h
        JOIN credit_hold_parts p USING (hold_id) JOIN orders o ON o.order_id = h.hold_id
        WHERE {o_site} GROUP BY h.order_id
        HAVING sum(p.refunded_fen) <> coalesce((
          SELECT sum(r.credit_fen) FROM refunds r WHERE r.order_id = h.order_id), 0)""",
    "1 a customer's credit is what grants have left and orders hold": """
        SELECT site_id, code, sum(booked_fen) AS booked_fen, sum(there_fen) AS there_fen FROM (
          SELECT site_id, code, balance_fen AS booked_fen, 0 AS there_fen
          FROM ledger_accounts WHERE code LIKE 'customer\\:%\\:credit'
          UNION ALL SELECT site_id, 'customer\\:' || customer_id || '\\:credit', 0, left_fen
          FROM credit_grants
          UNION ALL SELECT site_id, 'customer\\:' || customer_id || '\\:credit', 0, amount_fen
          FROM credit_holds WHERE state = 'held') AS credit
        WHERE {site} GROUP BY site_id, code HAVING sum(booked_fen) <> sum(there_fen)""",
    "1 money that came is booked once": """
        SELECT a.out_trade_no, a.state, count(j.id) AS journals
        FROM payment_attempts a
        LEFT JOIN ledger_journals j ON j.key = 'payment/' || a.out_trade_no || '/arrived'
          AND j.outcome = 'applied'
        WHERE {a_site} GROUP BY a.out_trade_no, a.state
        HAVING count(j.id) <> CASE WHEN a.state IN ('paid', 'late', 'frozen') THEN 1 ELSE 0 END""",
    "1 refunds that ended well are booked once, others not": """
        SELECT r.out_refund_no, r.state, count(j.id) AS journals
        FROM refunds r LEFT JOIN ledger_journals j
          ON j.key = 'refund/' || r.out_refund_no || '/ended' AND j.outcome = 'applied'
        WHERE {r_site} GROUP BY r.out_refund_no, r.state
        HAVING count(j.id)
          <> CASE WHEN r.state = 'success' AND r.amount_fen > 0 THEN 1 ELSE 0 END""",
    "1 an order keeps at most one payment": """
        SELECT order_id, count(*) AS payments FROM payment_attempts
        WHERE state = 'paid' AND purpose = 'order' AND {site}
        GROUP BY order_id HAVING count(*) > 1""",
    "3 nothing stays held at a channel for an order that has ended": """
        SELECT o.order_id, a.out_trade_no FROM payment_attempts a JOIN orders o USING (order_id)
        WHERE a.state = 'authorized' AND o.ended_at IS NOT NULL AND {o_site}""",
    "1 an order that has ended holds nobody's money": """
        SELECT o.order_id,
          sum(CASE e.side WHEN 'C' THEN e.amount_fen ELSE -e.amount_fen END) AS held_fen
        FROM orders o JOIN ledger_journals j ON j.order_id = o.order_id
        JOIN ledger_entries e
          ON e.journal_id = j.id AND e.account = 'order:' || o.site_id || '\\:held'
        WHERE o.ended_at IS NOT NULL AND {o_site} GROUP BY o.order_id
        HAVING sum(CASE e.side WHEN 'C' THEN e.amount_fen ELSE -e.amount_fen END) <> 0""",
    "1 money that was promised after the sale is the refund that pays it": """
        SELECT a.after_sale_id, a.state, a.amount_fen, r.state AS refund,
          r.amount_fen + r.credit_fen AS refund_fen
        FROM after_sales a LEFT JOIN refunds r USING (out_refund_no)
        WHERE a.state IN ('approved', 'delayed', 'refunded') AND {a_site}
          AND (r.amount_fen + r.credit_fen IS DISTINCT FROM a.amount_fen
            OR (a.state = 'refunded') <> (r.state = 'success'))""",
    "1 a tip is its rider's as soon as they have delivered": """
        SELECT o.order_id, o.tip_fen, coalesce(sum(e.amount_fen), 0) AS booked_fen
        FROM orders o JOIN delivery_tasks t USING (order_id)
        LEFT JOIN ledger_journals j ON j.order_id = o.order_id AND j.event = 'rider_tipped'
        LEFT JOIN ledger_entries e ON e.journal_id = j.id AND e.side = 'C'
        WHERE o.tip_fen > 0 AND {o_site} GROUP BY o.order_id, t.state
        HAVING coalesce(sum(e.amount_fen), 0)
          <> CASE t.state WHEN 'delivered' THEN o.tip_fen ELSE 0 END""",
    "1 a tip paid after delivery is its rider's, all of it": """
        SELECT a.out_trade_no, a.state, a.amount_fen,
          coalesce(sum(e.amount_fen), 0) AS booked_fen
        FROM payment_attempts a LEFT JOIN delivery_tasks t USING (order_id)
        LEFT JOIN ledger_journals j ON j.event = 'tip_captured'
          AND j.key = 'payment/' || a.out_trade_no || '/arrived'
        LEFT JOIN ledger_entries e ON e.journal_id = j.id AND e.side = 'C'
          AND e.account = 'rider\\:' || t.rider_id || '\\:payable'
        WHERE a.purpose = 'tip' AND {a_site} GROUP BY a.out_trade_no
        HAVING coalesce(sum(e.amount_fen), 0)
          <> CASE a.state WHEN 'paid' THEN a.amount_fen ELSE 0 END""",
    "1 split, received and refunded add up to what came for a settled order": r"""
        SELECT s.order_id,
          sum(CASE e.side WHEN 'D' THEN e.amount_fen ELSE -e.amount_fen END) AS left_fen,
          (SELECT coalesce(sum(amount_fen), 0) FROM split_returns b WHERE b.order_id = s.order_id
            AND b.state <> 'success' AND NOT EXISTS (SELECT FROM split_returns n
              WHERE n.out_refund_no = b.out_refund_no AND n.number > b.number)) AS coming_fen
        FROM settlements s JOIN ledger_journals j USING (site_id, order_id)
        JOIN ledger_entries e ON e.journal_id = j.id
          AND e.account SIMILAR TO '(psp\:%\:clearing|(refund|suspense)\:%)'
        WHERE s.ended_at IS NOT NULL AND j.event <> 'tip_captured' AND {s_site}
        GROUP BY s.order_id
        HAVING sum(CASE e.side WHEN 'D' THEN e.amount_fen ELSE -e.amount_fen END)
          + (SELECT coalesce(sum(amount_fen), 0) FROM split_returns b WHERE b.order_id = s.order_id
            AND b.state <> 'success' AND NOT EXISTS (SELECT FROM split_returns n
              WHERE n.out_refund_no = b.out_refund_no AND n.number > b.number)) <> 0""",
    "1 no more comes back of a share than came": r"""
        SELECT j.order_id,
          sum(CASE e.side WHEN 'D' THEN e.amount_fen ELSE -e.amount_fen END) AS receivable_fen
        FROM ledger_journals j JOIN ledger_entries e ON e.journal_id = j.id
          AND e.account = 'platform:' || j.site_id || '\:receivable'
        WHERE {j_site} GROUP BY j.order_id
        HAVING sum(CASE e.side WHEN 'D' THEN e.amount_fen ELSE -e.amount_fen END) < 0""",
    "1 what is on its way from the bank is what open payouts say": """
        SELECT site_id, sum(fen)::bigint AS fen FROM (
          SELECT e.site_id, CASE e.side WHEN 'C' THEN e.amount_fen ELSE -e.amount_fen END AS fen
          FROM ledger_entries e WHERE e.account = 'payout\\:' || e.site_id || '\\:in_flight'
          UNION ALL
          SELECT site_id, -amount_fen FROM payout_lines WHERE state = 'sent'
        ) AS moved WHERE {site} GROUP BY site_id HAVING sum(fen) <> 0""",
    "1 a kept statement is what the ledger says, and opens with what the last one closed with": """
        SELECT s.party, s.party_id, s.day FROM (
          SELECT *, lag(closing_fen, 1, opening_fen)
            OVER (PARTITION BY site_id, party, party_id ORDER BY day) AS before_fen
          FROM statements) s
        CROSS JOIN LATERAL ledger_movement(s.site_id,
          s.party || '\\:' || s.party_id || '\\:payable', 'CNY',
          (s.day || ' 00\\:00+08')::timestamptz,
          (s.day || ' 00\\:00+08')::timestamptz + interval '24 hours') m
        WHERE {s_site} AND (s.opening_fen <> s.before_fen
          OR (m.credit_fen, m.debit_fen, m.lines, m.sha256)
            <> (s.in_fen, s.out_fen, s.lines, s.sha256))""",
    "1 the statements of all of a site's accounts add up to its trial balance, zero": """
        SELECT site_id, currency, sum(ledger_balance(site_id, code, currency, now())) AS left_fen
        FROM ledger_accounts WHERE {site} GROUP BY site_id, currency
        HAVING sum(ledger_balance(site_id, code, currency, now())) <> 0""",
    "1 a closed period is what was closed": """
        SELECT p.site_id, p.until, a.code FROM ledger_periods p
        JOIN ledger_accounts a ON a.site_id = p.site_id
        LEFT JOIN ledger_period_totals t
          ON (t.site_id, t.until, t.account, t.currency) = (p.site_id, p.until, a.code, a.currency)
        LEFT JOIN LATERAL (SELECT max(until) AS at FROM ledger_periods b
          WHERE b.site_id = p.site_id AND b.until < p.until) since ON true
        CROSS JOIN LATERAL ledger_movement(a.site_id, a.code, a.currency,
          coalesce(since.at, '-infinity'), p.until) m
        WHERE {a_site} AND (coalesce(t.debit_fen, 0), coalesce(t.credit_fen, 0))
          <> (m.debit_fen, m.credit_fen)""",
    "1 the balances of a closed period add up to nothing": """
        SELECT t.site_id, t.until FROM ledger_period_totals t
        LEFT JOIN LATERAL (SELECT p.balance_fen + t.debit_fen - t.credit_fen AS fen
          FROM ledger_period_totals p
          WHERE (p.site_id, p.account, p.currency) = (t.site_id, t.account, t.currency)
            AND p.until < t.until ORDER BY p.until DESC LIMIT 1) carried ON true
        WHERE {t_site} GROUP BY t.site_id, t.until, t.currency
        HAVING sum(t.balance_fen) <> 0
          OR bool_or(t.balance_fen <> coalesce(carried.fen, t.debit_fen - t.credit_fen))""",
    "3 late money is on its way home": """
        SELECT a.out_trade_no FROM payment_attempts a LEFT JOIN refunds r
          ON r.order_id = a.order_id AND r.cause = 'late:' || a.out_trade_no
        WHERE a.state = 'late' AND r.out_refund_no IS NULL AND {a_site}""",
    "4 an open ticket is followed": """
        SELECT ticket_id, kind FROM tickets WHERE state <> 'resolved' AND followed_at IS NULL
          AND created_at < now() - interval '2 minutes' AND {site}""",
    "4 an open settlement is followed": """
        SELECT order_id FROM settlements WHERE ended_at IS NULL AND followed_at IS NULL
          AND created_at < now() - interval '2 minutes' AND {site}""",
    "5 a claim is one rider's": """
        SELECT task_id, token, count(*) AS winners FROM offers
        WHERE state IN ('accepted', 'claimed') AND {site}
        GROUP BY task_id, token HAVING count(*) > 1""",
    "6 an order that was cancelled holds no stock": """
        SELECT l.order_id, l.item_id FROM item_leases l JOIN orders o USING (order_id)
        WHERE l.state = 'held' AND o.status = 'cancelled' AND {o_site}""",
    "6 stock is never below nothing": """
        SELECT shop_id, item_id, stock FROM items WHERE stock < 0 AND {site}""",
    "6 a day's compensation is the sum of its customers'": """
        SELECT site_id, business_day FROM compensation_days
        WHERE {site} GROUP BY site_id, business_day
        HAVING coalesce(sum(spent_fen) FILTER (WHERE customer_id = ''), 0)
          <> coalesce(sum(spent_fen) FILTER (WHERE customer_id <> ''), 0)""",
    "6 sums of ratings are what their ratings add up to": """
        SELECT subject, s.count, s.stars FROM rating_sums s LEFT JOIN (
          SELECT site_id, 'shop\\:' || shop_id AS subject, count(*) AS count, sum(food) AS stars
          FROM ratings GROUP BY site_id, shop_id
          UNION ALL
          SELECT site_id, 'rider\\:' || rider_id, count(*), sum(ride)
          FROM ratings WHERE ride IS NOT NULL GROUP BY site_id, rider_id
        ) r USING (site_id, subject)
        WHERE {s_site} AND (s.count, s.stars) <> (coalesce(r.count, 0), coalesce(r.stars, 0))""",
    "7 seq is gapless from 1": """
        SELECT s.order_id, s.seq, count(e.seq) AS events, max(e.seq) AS last
        FROM order_streams s LEFT JOIN order_events e USING (order_id)
        WHERE {s_site} GROUP BY s.order_id, s.seq
        HAVING count(e.seq) <> s.seq OR coalesce(max(e.seq), 0) <> s.seq""",
    "7 the row and the public state agree": """
        SELECT o.order_id, o.status, s.view->>'status' AS public
        FROM orders o JOIN order_streams s USING (order_id)
        WHERE {o_site} AND (o.status <> s.view->>'status' OR o.payment <> s.view->>'payment'
          OR o.kitchen <> s.view->>'kitchen' OR o.held <> (s.view->>'held')::boolean)""",
    "7 order and counter agree at the end": """
        SELECT o.order_id, o.status, o.close_reason FROM orders o JOIN pickups p USING (order_id)
        WHERE {o_site} AND (p.collected_at IS NOT NULL)
          <> (o.status IN ('delivered', 'completed') AND o.close_reason = '')""",
    "7 order and delivery agree at the end": """
        SELECT o.order_id, o.status, t.state FROM orders o JOIN delivery_tasks t USING (order_id)
        WHERE {o_site} AND ((o.status IN ('delivered', 'completed')) <> (t.state = 'delivered')
          OR (o.status = 'cancelled' AND t.state <> 'closed'))""",
    "8 where goods were left is forgotten once they are taken or over": """
        SELECT order_id, state FROM delivery_tasks WHERE goods_lat IS NOT NULL
          AND state NOT IN ('searching', 'offered', 'assigned', 'at_store') AND {site}""",
}
"""Law → the rows that break it; `{site}` narrows to one site."""

_UNDER_WAY = """
SELECT (SELECT count(*) FROM orders WHERE ended_at IS NULL AND {site}) AS orders,
  (SELECT count(*) FROM refunds WHERE ended_at IS NULL AND {site}) AS refunds,
  (SELECT count(*) FROM facts WHERE confirmed_at IS NULL AND {site}) AS facts,
  (SELECT count(*) FROM payment_attempts WHERE purpose = 'tip'
    AND state IN ('created', 'unknown', 'opened', 'watched') AND {site}) AS tips,
  (SELECT count(*) FROM settlements WHERE ended_at IS NULL AND {site}) AS settlements,
  (SELECT count(*) FROM split_returns WHERE ended_at IS NULL AND {site}) AS split_returns,
  (SELECT count(*) FROM payout_lines p JOIN payout_batches b USING (batch_id)
    WHERE b.state IN ('approved', 'sent') AND p.ended_at IS NULL AND {p_site}) AS payout_lines,
  (SELECT count(*) FROM tickets
    WHERE state <> 'resolved' AND followed_at IS NULL AND {site}) AS unfollowed_tickets
"""
_ORDERS = """
SELECT order_id, seq, view FROM order_streams
WHERE order_id > :after AND {site} ORDER BY order_id LIMIT :limit
"""
_EVENTS = text("""
SELECT order_id, seq, data FROM order_events WHERE order_id = ANY(:orders) ORDER BY order_id, seq
""")
_MONEY = """
SELECT out_trade_no, sum(paid_fen) AS paid_fen, sum(refunded_fen) AS refunded_fen FROM (
  SELECT out_trade_no, CASE WHEN state IN ('paid', 'late', 'frozen') THEN (
      SELECT e.amount_fen FROM ledger_journals j JOIN ledger_entries e ON e.journal_id = j.id
      WHERE j.key = 'payment/' || out_trade_no || '/arrived' AND e.side = 'D')
    ELSE 0 END AS paid_fen, 0 AS refunded_fen
  FROM payment_attempts WHERE {site}
  UNION ALL
  SELECT out_trade_no, 0, amount_fen FROM refunds WHERE state = 'success' AND {site}
) AS moved GROUP BY out_trade_no
"""
_SPLIT = """
SELECT s.out_trade_no, coalesce((
    SELECT sum(CASE e.side WHEN 'D' THEN e.amount_fen ELSE -e.amount_fen END)
    FROM ledger_journals j JOIN ledger_entries e ON e.journal_id = j.id
    WHERE (j.site_id, j.order_id) = (s.site_id, s.order_id)
      AND e.account = 'platform\\:' || s.site_id || '\\:receivable'), 0) AS split_fen,
  s.ended_at IS NULL OR EXISTS (SELECT FROM split_returns b
    WHERE b.order_id = s.order_id AND b.ended_at IS NULL) AS under_way
FROM settlements s WHERE {s_site}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One law and what breaks it."""

    law: str
    broken: list[str]


async def check(reader: Reader, site_id: str = "") -> list[Verdict]:
    """Ask every law; `site_id` empty: all sites."""
    verdicts = [Verdict(law="1 the ledger balances", broken=await ledger.check(reader))]
    for law, question in LAWS.items():
        rows = await reader.all(text(_narrowed(question, site_id)), {"site_id": site_id})
        verdicts.append(Verdict(law=law, broken=[str(dict(row._mapping)) for row in rows]))  # noqa: SLF001
    verdicts.append(Verdict(law="7 events fold to the state", broken=await _folds(reader, site_id)))
    return verdicts


async def under_way(reader: Reader, site_id: str = "") -> dict[str, int]:
    """What has not ended yet and goes on by itself, by kind: how many.

    A payout that nobody has decided about, and a ticket that is followed, wait for a person.
    """
    row = await reader.first(text(_narrowed(_UNDER_WAY, site_id)), {"site_id": site_id})
    return dict(row._mapping) if row else {}  # noqa: SLF001


async def compare(reader: Reader, oracle: list[dict[str, Any]], site_id: str = "") -> Verdict:
    """Money that truly moved at the gateway, payment by payment, against the books."""
    rows = await reader.all(text(_narrowed(_MONEY, site_id)), {"site_id": site_id})
    ours = {row.out_trade_no: (int(row.paid_fen), int(row.refunded_fen)) for row in rows}
    theirs = {
        one["out_trade_no"]: (int(one["paid_fen"]), int(one["refunded_fen"])) for one in oracle
    }
    broken = [
        f"{number}: books {ours.get(number, (0, 0))}, gateway {theirs.get(number, (0, 0))}"
        for number in sorted(ours.keys() | (set() if site_id else theirs.keys()))
        if ours.get(number, (0, 0)) != theirs.get(number, (0, 0))
    ]
    broken += [
        f"{one['out_trade_no']}: {one['charges']} charges" for one in oracle if one["charges"] > 1
    ]
    mine = [one for one in oracle if not site_id or one["out_trade_no"] in ours]
    broken += await _compare_split(reader, mine, site_id)
    return Verdict(law="1 ledger = gateway oracle", broken=broken)


async def _compare_split(reader: Reader, oracle: list[dict[str, Any]], site_id: str) -> list[str]:
    """What differs of what was split off payments and not returned, where the oracle tells it.

    Shares under way are not judged: they are booked once their own result is known.
    """
    rows = await reader.all(text(_narrowed(_SPLIT, site_id)), {"site_id": site_id})
    ours = {row.out_trade_no: int(row.split_fen) for row in rows}
    open_ones = {row.out_trade_no for row in rows if row.under_way}
    theirs = {
        one["out_trade_no"]: int(one["split_fen"]) - int(one.get("returned_fen", 0))
        for one in oracle
        if "split_fen" in one
    }
    return [
        f"{number}: books split {ours.get(number, 0)}, gateway {theirs[number]}"
        for number in sorted(theirs.keys() - open_ones)
        if ours.get(number, 0) != theirs[number]
    ]


def _narrowed(question: str, site_id: str) -> str:
    names = ("site", *(f"{table}_site" for table in "oarstjp"))
    columns = {name: f"{name[:-5]}.site_id" if "_" in name else "site_id" for name in names}
    return question.format(
        **{name: f"{column} = :site_id" if site_id else "true" for name, column in columns.items()}
    )


async def _folds(reader: Reader, site_id: str) -> list[str]:
    """Orders whose events don't fold to their view, or whose status went backwards."""
    broken: list[str] = []
    after = ""
    while True:
        orders = await reader.all(
            text(_narrowed(_ORDERS, site_id)),
            {"after": after, "limit": PAGE_ORDERS, "site_id": site_id},
        )
        if not orders:
            return broken
        after = orders[-1].order_id
        folds: dict[str, dict[str, Any]] = {order.order_id: {} for order in orders}
        for event in await reader.all(_EVENTS, {"orders": list(folds)}):
            view = folds[event.order_id]
            before, now = view.get("status"), event.data.get("status")
            if before and now and before != now and not may_follow(Status(before), Status(now)):
                broken.append(f"{event.order_id}: {before} became {now} at {event.seq}")
            view |= event.data
        broken += [
            f"{order.order_id}: the fold differs from the view at {order.seq}"
            for order in orders
            if folds[order.order_id] != order.view
        ]
