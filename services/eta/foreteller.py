"""Who answers how long an order takes: the newest model, else the plain formula."""

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
    """The newest model and who tells the weather; a new model is taken up within a minute."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.eta_models
        self._look_at = 0.0
        self._model: Model | None = None
        self._http = client(settings)
        self._outside = Outside(provider(settings, self._http))

    async def close(self) -> None:
        """Give the connections back."""
        await self._http.aclose()

    async def moment(self, reader: Reader, shop: Shop) -> Moment:
        """What goes on around a shop now, and overhead."""
        return await history.moment(reader, shop.shop_id, await self._outside.at(shop.place))

    def window(self, known: Known) -> Window:
        """The promise for an order; a model's where there is one."""
        trained = self._newest()
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

    def _newest(self) -> "Model | None":
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_AGAIN_SECONDS
            folder = stored.newest(self._folder)
            if folder is None:
                self._model = None
            elif self._model is None or self._model.card.version != folder.name:
                self._model = _load(folder)
        return self._model


def _load(folder: Path) -> "Model | None":
    try:
        # Only here: LightGBM wants the system's libgomp, and who has no model needs neither.
        from services.eta.model import load  # noqa: PLC0415

        return load(folder)
    except (ImportError, OSError, ValueError, TypeError):
        log.exception("a model can't be read, the formula answers", version=folder.name)
        return None
