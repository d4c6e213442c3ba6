"""Where trained models lie; looking there needs nothing of what trains them."""

from pathlib import Path

CARD = "card.json"
SITES = "sites"


def of_site(folder: Path, site_id: str) -> Path:
    """Where models that learnt from one site alone lie; without a site, those of all."""
    return folder / SITES / site_id if site_id else folder


def newest(folder: Path) -> Path | None:
    """The folder of the newest model; None where there is none yet."""
    return max((card.parent for card in folder.glob(f"[!.]*/{CARD}")), default=None)
