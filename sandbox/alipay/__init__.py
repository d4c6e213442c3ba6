"""Alipay's open gateway as merchants see it: wire protocol and rules, nothing of the platform."""
