"""`paotui reconcile`: a channel's day compared now, by a process that may read and ask."""

import subprocess
import sys
from datetime import datetime

import click


@click.command()
@click.option("--channel", required=True, help="wechat, alipay, card, bank.")
@click.option(
    "--date",
    "day",
    type=click.DateTime(["%Y-%m-%d"]),
    help="The business day, in China; else yesterday.",
)
@click.option("--account", default="", help="One account only.")
@click.option("--site", default="", help="One site's accounts only.")
def reconcile(*, channel: str, day: datetime | None, account: str, site: str) -> None:
    """Compare a channel's bills with our books; exit code 1 if a difference is open."""
    options = [
        *("--channel", channel),
        *(["--date", f"{day:%Y-%m-%d}"] if day else []),
        *(["--account", account] if account else []),
        *(["--site", site] if site else []),
    ]
    answer = subprocess.run([sys.executable, "-m", "workers.reconcile", *options], check=False)
    raise SystemExit(answer.returncode)
