"""Who answers how long an order takes: the newest model, else the plain formula."""

import time
from pathlib import Path

from lightgbm.basic import LightGBMError

from domain import eta
from domain.eta import Hint, Known, Window
from services.eta import model
from services.eta.model import Model

LOOK_AGAIN_SECONDS = 60.0
SAID_BY_VALUE = frozenset({"weather", "vehicle"})
"""Features whose value says more than their name."""
SILENT = frozenset({"shop_id", "hour", "weekday", "prep_minutes", "meters"})
"""What makes an order longer each time is no news to its customer."""


class Promises:
    """The models of one folder; a new one is taken up within a minute."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._look_at = 0.0
        self._model: Model | None = None

    def window(self, known: Known) -> Window:
        """The promise for an order; a model's where there is one."""
        trained = self._newest()
        if trained is None:
            return eta.formula(known)
        record = known.features()
        answer = trained.answer([record])
        reasons = trained.reasons(record)
        hints = tuple(
            Hint(str(record[name]) if name in SAID_BY_VALUE else name, minutes)
            for name, minutes in reasons.items()
            if name and name not in SILENT and record[name] is not None
        )
        return Window(
            low=max(0.0, float(answer.low[0])),
            middle=max(0.0, float(answer.middle[0])),
            high=max(1.0, float(answer.high[0])),
            hints=eta.telling(hints),
            version=trained.card.version,
        )

    def _newest(self) -> Model | None:
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_AGAIN_SECONDS
            folder = model.newest(self._folder)
            if folder is None:
                self._model = None
            elif self._model is None or self._model.card.version != folder.name:
                try:
                    self._model = model.load(folder)
                except (OSError, ValueError, TypeError, LightGBMError):
                    self._model = None  # the formula answers until there is a whole one
        return self._model
