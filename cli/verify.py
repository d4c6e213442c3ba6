"""`paotui verify`: the laws, asked of the live data by a process that may read it."""

import subprocess
import sys

import click


@click.command()
@click.option("--site", default="", help="One site only.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def verify(*, site: str, as_json: bool) -> None:
    """Ask every law of the live data and of the gateway's oracle; exit code 1 if one is broken."""
    options = [*(["--site", site] if site else []), *(["--json"] if as_json else [])]
    answer = subprocess.run([sys.executable, "-m", "workers.verify", *options], check=False)
    raise SystemExit(answer.returncode)
