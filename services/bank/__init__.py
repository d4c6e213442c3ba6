"""The bank's protocol, spoken as its client: payments, refunds, splits, payouts; no rule of ours.

No public protocol of such a partner exists: this one is the sandbox bank's own, described in
`docs/bank-protocol.md`. A real partner's would take its place behind the same port.
"""
