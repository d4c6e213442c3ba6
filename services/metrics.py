"""Every metric of the platform in one registry: `paotui_…_seconds`, `paotui_…_total`, gauges."""

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


def exposition() -> bytes:
    """All metrics of this process in Prometheus' text format."""
    return generate_latest()
