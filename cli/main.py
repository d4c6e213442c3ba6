"""The `paotui` command: one group, one subcommand per file of this room."""

import click

from cli import (
    demo,
    doctor,
    follow,
    logs,
    reconcile,
    reset,
    show_settings,
    simulate,
    status,
    tokens,
    train_eta,
    up,
    verify,
)


@click.group()
def main() -> None:
    """Paotui: self-hosted local commerce, every order one durable workflow."""


main.add_command(up.up)
main.add_command(up.down)
main.add_command(status.status)
main.add_command(logs.logs)
main.add_command(doctor.doctor)
main.add_command(show_settings.show_settings)
main.add_command(reset.reset)
main.add_command(tokens.token)
main.add_command(demo.demo)
main.add_command(follow.follow_order)
main.add_command(simulate.simulate)
main.add_command(verify.verify)
main.add_command(reconcile.reconcile)
main.add_command(train_eta.train_eta)
