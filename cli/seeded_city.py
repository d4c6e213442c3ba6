"""A city's day out of a seed, for those without published ones: peaks, rain, an overload, no-shows.

The same seed and number of orders make the same day, on any machine.
"""

import math
import random

from cli.mdrp import Courier, Instance, Order, Point, Rain

OPENS, CLOSES = 600, 1_320
"""10:00 to 22:00, minutes of the day."""
PEAKS = ((720, 40, 5.0), (1_110, 50, 4.0))
"""Lunch and dinner: when, how wide (standard deviation), how much above the quiet hours."""
RADIUS_METERS = 4_500
METERS_PER_MINUTE = 320.0
SERVICE_MINUTES = 4.0
ORDERS_PER_RESTAURANT = 25
DELIVERIES_PER_HOUR = 2.2
"""Of one courier: service, the way there and the way on."""
RAIN_MINUTES, RAIN_SLOWS, RAIN_WANTS = (90, 150), 0.7, 1.3
OVERLOAD_MINUTES, OVERLOAD_WANTS = 40, 2.0
NO_SHOWS, SILENT = 0.05, 0.03
"""Shares of couriers who never come, and who vanish with an order."""
PATIENCE = (
    (0.03, {"cancels_after_seconds": 120}),
    (0.02, {"pays": "no"}),
    (0.01, {"pays": "late"}),
)
"""Shares of customers who change their mind, and how."""


def day_of(seed: int, orders: int) -> Instance:
    """The day of a seed, with so many orders."""
    dice = random.Random(seed)  # noqa: S311 - no secret: a day to be had again
    rain_from = dice.uniform(OPENS, CLOSES - RAIN_MINUTES[1])
    rain = Rain(
        from_minute=rain_from,
        until_minute=rain_from + dice.uniform(*RAIN_MINUTES),
        slows_to=RAIN_SLOWS,
    )
    overload_from = dice.uniform(660, 1_140)
    minutes = range(OPENS, CLOSES)
    wanted = [_wanted(minute, rain, overload_from) for minute in minutes]
    restaurants = {
        f"r{number}": _place(dice) for number in range(max(3, orders // ORDERS_PER_RESTAURANT))
    }
    kitchens = {name: dice.uniform(8, 18) for name in restaurants}
    taps = sorted(dice.choices(minutes, wanted)[0] + round(dice.random(), 3) for _ in range(orders))
    made = []
    for number, tap in enumerate(taps):
        kitchen = dice.choice(list(restaurants))
        prep = max(3.0, dice.gauss(kitchens[kitchen], 3.0))
        made.append(
            Order(
                name=f"o{number}",
                place=_place(dice),
                restaurant=kitchen,
                placement_minute=tap,
                ready_minute=round(tap + prep, 3),
                habits=_habits(dice),
            )
        )
    named = {order.restaurant for order in made}
    return Instance(
        name=f"city{seed}",
        orders=tuple(made),
        restaurants={name: place for name, place in restaurants.items() if name in named},
        couriers=_couriers(dice, orders, wanted),
        meters_per_minute=METERS_PER_MINUTE,
        pickup_service_minutes=SERVICE_MINUTES,
        dropoff_service_minutes=SERVICE_MINUTES,
        rain=(rain,),
    )


def _wanted(minute: int, rain: Rain, overload_from: float) -> float:
    """How much is ordered in a minute, against a quiet one."""
    peaks = (high * math.exp(-(((minute - at) / wide) ** 2) / 2) for at, wide, high in PEAKS)
    wanted = 1.0 + sum(peaks)
    if rain.from_minute <= minute < rain.until_minute:
        wanted *= RAIN_WANTS
    if overload_from <= minute < overload_from + OVERLOAD_MINUTES:
        wanted *= OVERLOAD_WANTS
    return wanted


def _couriers(dice: random.Random, orders: int, wanted: list[float]) -> tuple[Courier, ...]:
    """As many per two hours as the plain peaks want; who planned this knew of no rain."""
    per_order = orders / sum(wanted)
    couriers: list[Courier] = []
    for begin in range(OPENS, CLOSES, 120):
        plain = [_wanted(minute, Rain(), CLOSES) for minute in range(begin, begin + 120)]
        needed = math.ceil(per_order * sum(plain) / 2 / DELIVERIES_PER_HOUR)
        for _ in range(needed):
            if dice.random() < NO_SHOWS:
                continue
            couriers.append(
                Courier(
                    name=f"c{len(couriers)}",
                    place=_place(dice),
                    on_minute=begin - 5,
                    off_minute=begin + 150,
                    goes_silent="after_claim" if dice.random() < SILENT else "never",
                )
            )
    return tuple(couriers)


def _habits(dice: random.Random) -> dict[str, str | float] | None:
    chance = dice.random()
    for share, habits in PATIENCE:
        if chance < share:
            return dict(habits)
        chance -= share
    return None


def _place(dice: random.Random) -> Point:
    """Anywhere in town, denser in the middle."""
    far, turn = RADIUS_METERS * dice.random(), dice.uniform(0, 2 * math.pi)
    return round(far * math.cos(turn), 1), round(far * math.sin(turn), 1)
