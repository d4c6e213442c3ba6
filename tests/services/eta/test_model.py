"""A model learns what is there, says why, keeps its windows honest, and survives its folder."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from domain.eta import FORMULA, Known, Moment, Weather, formula
from services.eta import model, stored
from services.eta.foreteller import Foreteller
from services.eta.model import Model
from services.settings import Settings

ROWS, LEARNT = 4_000, 3_000
RAIN_MINUTES = 6.0
CATEGORIES = ("shop_id", "vehicle", "weather", "traffic")


def known(number: int, dice: np.random.Generator) -> Known:
    wet = Weather.RAIN if dice.random() < 0.3 else Weather.CLEAR
    return Known(
        shop_id=f"shop-{number % 5}",
        prep_minutes=10,
        meters=int(dice.integers(200, 4_000)),
        hour=int(dice.integers(0, 24)),
        weekday=1 + number % 7,
        moment=Moment(cooking=int(dice.integers(0, 12)), riders=3, weather=wet),
    )


def minutes(one: Known, dice: np.random.Generator) -> float:
    slow_shop = 5.0 if one.shop_id == "shop-0" else 0.0
    wet = RAIN_MINUTES if one.moment.weather is Weather.RAIN else 0.0
    return float(15 + one.meters / 250 + slow_shop + wet + dice.normal(0, 3))


@pytest.fixture(scope="module")
def lived() -> tuple[list[dict[str, Any]], list[float]]:
    dice = np.random.default_rng(7)
    orders = [known(number, dice) for number in range(ROWS)]
    return [one.features() for one in orders], [minutes(one, dice) for one in orders]


@pytest.fixture(scope="module")
def trained(lived: tuple[list[dict[str, Any]], list[float]]) -> Model:
    records, true = lived
    return model.train(
        records[:LEARNT],
        true[:LEARNT],
        calibrate=range(2_000, LEARNT),
        categories=CATEGORIES,
        version="20261113T120000Z",
    )


def test_windows_hold_what_they_promise_on_orders_never_seen(
    trained: Model, lived: tuple[list[dict[str, Any]], list[float]]
) -> None:
    records, true = lived
    found = model.metrics(trained.answer(records[LEARNT:]), true[LEARNT:])
    assert 0.76 <= found["coverage"] <= 0.84
    assert found["mse"] < 1.3 * 3**2  # the noise alone is 9
    assert found["width"] < 12


def test_reasons_add_up_and_name_the_rain(
    trained: Model, lived: tuple[list[dict[str, Any]], list[float]]
) -> None:
    dry = lived[0][0] | {"weather": "clear"}
    wet = dry | {"weather": "rain"}
    for one in (dry, wet):
        (middle,) = trained.answer([one]).middle
        assert sum(trained.reasons(one).values()) == pytest.approx(middle)
    rain = trained.reasons(wet)["weather"] - trained.reasons(dry)["weather"]
    assert rain == pytest.approx(RAIN_MINUTES, abs=1.5)


def test_the_formula_answers_until_there_is_a_model(trained: Model, tmp_path: Path) -> None:
    wet = Known(
        shop_id="new",
        prep_minutes=10,
        meters=1_000,
        hour=12,
        weekday=5,
        moment=Moment(weather=Weather.RAIN),
    )
    assert Foreteller(Settings(home=tmp_path)).window(wet) == formula(wet)
    trained.save(tmp_path / "eta")
    window = Foreteller(Settings(home=tmp_path)).window(wet)
    assert window.version == trained.card.version != FORMULA
    assert window.low <= window.middle <= window.high
    assert any(words.startswith("rain: +") for words in window.told()["hints"])
    (tmp_path / "eta" / trained.card.version / "middle.txt").write_text("half a file")
    assert Foreteller(Settings(home=tmp_path)).window(wet) == formula(wet)


def test_a_site_is_answered_by_its_own_model_else_by_that_of_all(
    trained: Model, tmp_path: Path
) -> None:
    calm = Known(shop_id="new", prep_minutes=10, meters=1_000, hour=12, weekday=5)
    folder = tmp_path / "eta"
    older = replace(trained, card=replace(trained.card, version="20261112T120000Z"))
    older.save(stored.of_site(folder, "s1"))

    def versions() -> list[str]:
        foreteller = Foreteller(Settings(home=tmp_path))
        return [foreteller.window(calm, site_id=site).version for site in ("s1", "s2")]

    assert versions() == [older.card.version, FORMULA]
    trained.save(folder)
    assert versions() == [older.card.version, trained.card.version]
    (stored.of_site(folder, "s1") / older.card.version / "card.json").unlink()
    assert versions() == [trained.card.version] * 2
