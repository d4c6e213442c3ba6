"""Tickets: opened beside what went wrong, followed by a workflow each, answered by people.

A ticket's row is written by whoever opens it and afterwards by the acts of its own workflow only.
"""

from services.tickets.answers import heard, next_answer, unanswered, words
from services.tickets.changes import Entry, add_evidence, change, open_ticket
from services.tickets.customers import complain
from services.tickets.following import (
    PAGE_ROWS,
    counts,
    followed,
    of,
    quiet,
    settled,
    unfollowed,
)
from services.tickets.papers import (
    Photo,
    drop_evidence,
    ensure_shown,
    evidence,
    evidence_of_order,
    keep_evidence,
    keep_message,
    messages,
)
from services.tickets.reads import Filter, Line, Ticket, entries, find, page

__all__ = [
    "PAGE_ROWS",
    "Entry",
    "Filter",
    "Line",
    "Photo",
    "Ticket",
    "add_evidence",
    "change",
    "complain",
    "counts",
    "drop_evidence",
    "ensure_shown",
    "entries",
    "evidence",
    "evidence_of_order",
    "find",
    "followed",
    "heard",
    "keep_evidence",
    "keep_message",
    "messages",
    "next_answer",
    "of",
    "open_ticket",
    "page",
    "quiet",
    "settled",
    "unanswered",
    "unfollowed",
    "words",
]
