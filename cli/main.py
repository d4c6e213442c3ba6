"""The `paotui` command: one group, one subcommand per file of this room."""

import click


@click.group()
def main() -> None:
    """Paotui: self-hosted local commerce, every order one durable workflow."""
