"""`paotui settings`: every setting, its value with secrets masked, and who set it."""

from urllib.parse import urlsplit

import click
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from services.settings import Settings, configured, settings

MASK = "********"


@click.command("settings")
def show_settings() -> None:
    """Print all settings: environment variables PAOTUI_…, or the running stack's file."""
    found, environment = settings(), configured().model_fields_set
    table = Table("variable", "value", "from", "meaning")
    for name, field in Settings.model_fields.items():
        stack = "stack" if name in found.model_fields_set else "default"
        origin = "environment" if name in environment else stack
        value = masked(getattr(found, name))
        table.add_row(f"PAOTUI_{name.upper()}", value, origin, field.description)
    Console().print(table)


def masked(value: object) -> str:
    """The value as text that may be shown: no secret, no password in a URL."""
    if isinstance(value, SecretStr):
        return MASK if value.get_secret_value() else ""
    text = str(value)
    password = urlsplit(text).password if "://" in text else None
    return text.replace(f":{password}@", f":{MASK}@") if password else text
