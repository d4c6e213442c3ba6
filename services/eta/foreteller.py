"""Who answers how long an order takes: a site's newest model, that of all, or the formula."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from domain import eta
from domain.eta import Hint, Known, Moment, Window
from domain.shops import Shop
from services.db import Reader
from services.eta import history, stored
from services.eta.outside import Outside, client, provider
from services.settings import Settings

if TYPE_CHECKING:
    from services.eta.model import Model

LOOK_AGAIN_SECONDS = 60.0
WORDS = {
    "cooking": "kitchen load",
    "waiting": "orders without a rider",
    "riders": "riders about",
    "traffic": "traffic",
}
"""Features that are news to a customer, beside the weather, which is called by its name."""

log = structlog.get_logger(__name__)


class Foreteller:
    """The newest models and who tells the weather; a new model is taken up within a minute."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.eta_models
        self._taken: dict[str, tuple[float, Model | None]] = {}
        """Per site when to look again, and its model; the one of all under the empty name."""
        self._http = client(settings)
        self._outside = Outside(provider(settings, self._http))

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def moment(self, reader: Reader, shop: Shop) -> Moment:
        """What goes on around a shop now, and overhead."""
        return await history.moment(reader, shop.shop_id, await self._outside.at(shop.place))

    def window(self, known: Known, *, site_id: str = "") -> Window:
        """The promise for an order; a model's where there is one, the site's own first."""
        trained = self._newest(site_id) or self._newest("")
        if trained is None:
            return eta.formula(known)
        record = known.features()
        answer = trained.answer([record])
        reasons = trained.reasons(record)
        words = WORDS | ({"weather": known.moment.weather} if known.moment.weather else {})
        hints = tuple(Hint(words[name], reasons[name]) for name in words if name in reasons)
        return Window(
            low=max(0.0, float(answer.low[0])),
            middle=max(0.0, float(answer.middle[0])),
            high=max(1.0, float(answer.high[0])),
            hints=eta.telling(hints),
            version=trained.card.version,
        )

    def _newest(self, site_id: str) -> "Model | None":
        now = time.monotonic()
        look_at, taken = self._taken.get(site_id, (0.0, None))
        if now >= look_at:
            folder = stored.newest(stored.of_site(self._folder, site_id))
            if folder is None:
                taken = None
            elif taken is None or taken.card.version != folder.name:
                taken = _load(folder)
            self._taken[site_id] = (now + LOOK_AGAIN_SECONDS, taken)
        return taken


def _load(folder: Path) -> "Model | None":
    try:
        # Only here: LightGBM wants the system's libgomp, and who has no model needs neither.
        from services.eta.model import load  # noqa: PLC0415

        return load(folder)
    except (ImportError, OSError, ValueError, TypeError):
        log.exception("a model can't be read, the formula answers", version=folder.name)
        return None
