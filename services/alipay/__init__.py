"""Alipay's open gateway, spoken as a payee: trades, refunds, shares, bills, notices; no rules."""
