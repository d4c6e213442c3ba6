"""`paotui train-eta`: a model of delivery times, learnt by a process that may read history."""

import subprocess
import sys

import click


@click.command("train-eta")
@click.option("--site", default="", help="Learn from one site's orders, for that site only.")
def train_eta(*, site: str) -> None:
    """Learn delivery times from delivered orders; exit code 1 if they are too few."""
    options = ["--site", site] if site else []
    answer = subprocess.run([sys.executable, "-m", "workers.train_eta", *options], check=False)
    raise SystemExit(answer.returncode)
