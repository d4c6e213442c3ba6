"""Every metric of the platform in one registry: `paotui_…_seconds`, `paotui_…_total`, gauges."""

from datetime import datetime

from prometheus_client import Counter, Gauge, Histogram, generate_latest

QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets in seconds for what a person waits for."""

ACTS = Counter("paotui_acts_total", "Activities that ended, by outcome.", ["act", "outcome"])
ACT_SECONDS = Histogram("paotui_act_seconds", "One try of an activity.", ["act"], buckets=QUICK)

EVENTS_RELAYED = Counter("paotui_events_relayed_total", "Outbox rows published to Redis.")
RELAY_SECONDS = Histogram(
    "paotui_relay_batch_seconds", "From outbox rows read to rows deleted.", buckets=QUICK
)
RELAY_FAILURES = Counter(
    "paotui_relay_failures_total", "Rounds of the relay that failed and wait.", ["part"]
)
RELAY_ACTIVE = Gauge("paotui_relay_active", "1 in the process that relays, 0 in a stand-by.")
OFFERS_DECLINED = Counter(
    "paotui_offers_declined_total", "Offers that riders said no to, by reason.", ["reason"]
)
STREAM_EVENTS = Counter(
    "paotui_stream_events_total", "Public events that a sink has taken.", ["sink"]
)
STREAM_BACKLOG = Gauge(
    "paotui_stream_backlog", "Rows that a sink has not taken, up to 100,000.", ["sink"]
)
STREAM_LAG = Gauge(
    "paotui_stream_lag_seconds", "Age of the oldest event that a sink has not taken.", ["sink"]
)
FACTS_TOLD = Counter(
    "paotui_facts_told_total", "Facts tried on workflows, by outcome.", ["fact", "outcome"]
)
SWEPT = Counter("paotui_swept_total", "What the sweep found and mended.", ["finding"])
SWEEP_SECONDS = Histogram("paotui_sweep_seconds", "One sweep.", buckets=(0.1, 0.5, 1, 5, 10, 30))
TICKETS_OPEN = Gauge("paotui_tickets_open", "Tickets that people must look at, by kind.", ["kind"])
TICKETS_OVERDUE = Gauge("paotui_tickets_overdue", "Open tickets past their due time.", ["kind"])
TICKETS_REMINDED = Counter("paotui_tickets_reminded_total", "Reminders, by owner.", ["owner"])

SUSPENSE_FEN = Gauge(
    "paotui_suspense_fen", "Money in suspense, all of it and what is old.", ["site", "age"]
)
DIFFERENCES_OPEN = Gauge(
    "paotui_differences_open", "Differences of reconciliation that nobody closed.", ["channel"]
)

PAYMENT_ATTEMPTS = Counter(
    "paotui_payment_attempts_total", "Payments that were to be opened.", ["channel"]
)
PAYMENTS = Counter(
    "paotui_payments_total",
    "Money that came or is held: paid, authorized, late, frozen.",
    ["channel", "outcome"],
)
PAYMENT_FAILURES = Counter(
    "paotui_payment_failures_total",
    "Payments that a channel did not open or a customer could not make.",
    ["channel", "code"],
)
REFUNDS = Counter("paotui_refunds_total", "Refunds that reached a state.", ["channel", "state"])
NOTICE_LAG = Histogram(
    "paotui_notice_lag_seconds",
    "From a payment at its gateway until we have stored its notice, applied its fact.",
    ["channel", "stage"],
    buckets=(1, 2, 5, 10, 30, 60, 120, 300, 900, 3_600, 21_600, 86_400),
)
NOTICES_REFUSED = Counter(
    "paotui_notices_refused_total", "Notices that were not believed.", ["channel", "reason"]
)
GATEWAY_SECONDS = Histogram(
    "paotui_gateway_call_seconds",
    "One call of a gateway, by its result: accepted, rejected, unknown.",
    ["channel", "call", "result"],
    buckets=(0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
GATEWAY_REFUSALS = Counter(
    "paotui_gateway_refusals_total",
    "Calls that were rejected or unknown, by the gateway's code or our reason.",
    ["channel", "call", "code"],
)
CLOCK_SKEW = Gauge(
    "paotui_clock_skew_seconds", "Our clock minus the gateway's, at its last answer.", ["channel"]
)
CERTIFICATE_EXPIRES = Gauge(
    "paotui_certificate_expires_timestamp_seconds",
    "When the newest certificate we hold expires: the channel's, or the payee's own.",
    ["channel", "account", "whose"],
)
WAITING = Gauge(
    "paotui_waiting",
    "Open with a channel: unknown attempts, holds, refunds, facts not applied.",
    ["channel", "what"],
)
WAITING_SECONDS = Gauge(
    "paotui_waiting_oldest_seconds", "Age of the oldest of them.", ["channel", "what"]
)
POSITIONS = Counter(
    "paotui_positions_total",
    "Reported positions by way (http, mqtt): accepted, or why they were dropped.",
    ["way", "outcome"],
)
POSITIONS_SECONDS = Histogram(
    "paotui_positions_batch_seconds", "From a window's end to Redis and rows.", buckets=QUICK
)


def certificate(channel: str, account: str, whose: str, expires_at: datetime) -> None:
    """A certificate was read; `account` is the payee's number at its channel."""
    CERTIFICATE_EXPIRES.labels(channel, account, whose).set(expires_at.timestamp())


def exposition() -> bytes:
    """All metrics of this process in Prometheus' text format."""
    return generate_latest()
