"""`paotui token`: a bearer token for trying the API by hand."""

import click

from services import identity

DAY_SECONDS = 86_400


@click.command()
@click.option("--site", required=True, help="The site the token is for.")
@click.option(
    "--role", required=True, help="customer, merchant, rider, support, lead, finance, operations."
)
@click.option("--subject", required=True, help="Whose token: the id of that customer, shop, rider.")
@click.option("--ttl-seconds", default=DAY_SECONDS, show_default=True, help="How long it holds.")
def token(*, site: str, role: str, subject: str, ttl_seconds: int) -> None:
    """Print a signed bearer token."""
    try:
        signed = identity.issue(site=site, role=role, subject=subject, ttl_seconds=ttl_seconds)
    except ValueError as error:
        raise click.ClickException(f"{error}; the key comes from `paotui up`") from error
    click.echo(signed)
