"""`python -m workers.train_eta`: a model of delivery times from the platform's own history.

It learns from the older orders and is measured on the newest, which it never saw; both, and how
the plain formula does on the same orders, are on the card that is stored with it.
"""

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from domain import eta
from domain.eta import Known, Moment, Traffic, Vehicle, Weather
from services.db import Database
from services.eta import history, model
from services.eta.history import Lived
from services.eta.model import Answer, Model
from services.eta.stored import CARD, of_site
from services.settings import settings

ROWS_MIN = 500
"""Fewer orders teach less than the formula knows."""
TEST_SHARE, CALIBRATION_SHARE = 0.2, 0.25
CATEGORIES = ("shop_id", "vehicle", "weather", "traffic")


def learn(lived: Lived, *, version: str) -> Model:
    """A model of all but the newest orders, its metrics on those beside the formula's."""
    orders = len(lived.minutes)
    learnt = round(orders * (1 - TEST_SHARE))
    trained = model.train(
        lived.known[:learnt],
        lived.minutes[:learnt],
        calibrate=range(round(learnt * (1 - CALIBRATION_SHARE)), learnt),
        categories=CATEGORIES,
        version=version,
        since=lived.placed_at[0].isoformat(),
        until=lived.placed_at[learnt - 1].isoformat(),
    )
    newest, true = lived.known[learnt:], lived.minutes[learnt:]
    found = model.metrics(trained.answer(newest), true)
    plain = model.metrics(_by_formula(newest), true)
    found |= {f"formula_{name}": plain[name] for name in ("mse", "mae", "coverage")}
    return replace(trained, card=replace(trained.card, metrics=found))


def _by_formula(records: Sequence[dict[str, Any]]) -> Answer:
    windows = [eta.formula(_known(record)) for record in records]
    return Answer(
        low=np.array([one.low for one in windows]),
        middle=np.array([one.middle for one in windows]),
        high=np.array([one.high for one in windows]),
    )


def _known(record: dict[str, Any]) -> Known:
    return Known(
        shop_id=record["shop_id"],
        prep_minutes=record["prep_minutes"],
        meters=record["meters"],
        hour=record["hour"],
        weekday=record["weekday"],
        vehicle=Vehicle(record["vehicle"]),
        moment=Moment(
            cooking=record["cooking"],
            waiting=record["waiting"],
            riders=record["riders"],
            weather=Weather(record["weather"]) if record["weather"] else None,
            traffic=Traffic(record["traffic"]) if record["traffic"] else None,
        ),
    )


async def train(database_url: str, folder: Path, *, site_id: str = "") -> Path | None:
    """Train and store, for that site or for all; the folder, or None for too few orders."""
    database = Database(database_url, pool_size=1)
    try:
        async with database.read() as reader:
            lived = await history.lived(reader, site_id=site_id)
    finally:
        await database.close()
    if len(lived.minutes) < ROWS_MIN:
        sys.stdout.write(f"{len(lived.minutes)} orders: {ROWS_MIN} are needed\n")
        return None
    trained = learn(lived, version=f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    return trained.save(of_site(folder, site_id))


def main() -> int:
    """Train, store, print the card; 1 where there was nothing to learn from."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--site", default="", help="learn from one site's orders, for that site only"
    )
    options = parser.parse_args()
    known = settings()
    folder = asyncio.run(train(known.database_url, known.eta_models, site_id=options.site))
    if folder is None:
        return 1
    card = json.loads((folder / CARD).read_text())
    del card["levels"]
    sys.stdout.write(json.dumps(card | {"folder": str(folder)}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
