"""WeChat Pay v3 as merchants see it: wire protocol and rules, nothing of the platform."""
