"""WeChat Pay API v3, spoken as a payee: orders, refunds, notices; no rule of ours about money."""
