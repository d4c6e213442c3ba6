"""Reading published delivery days (Meal Delivery Routing Problem) as they are; no simulation.

Format: grubhub/mdrplib. Tab separated with a header line; meters, and minutes from start of day.
"""

import csv
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

FILES = ("orders.txt", "restaurants.txt", "couriers.txt", "instance_parameters.txt")
FILE_BYTES_MAX = 20_000_000
NAMES_SHOWN = 8

Point = tuple[float, float]
"""x, y in meters on a plane."""


class NoInstance(ValueError):
    """There is no such day, or its files don't have the published form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One order of the day."""

    name: str
    place: Point
    restaurant: str
    placement_minute: float
    ready_minute: float
    habits: Mapping[str, str | float] | None = None
    """The customer's, as the sandbox's people know them; None: they pay and wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rain:
    """A spell of rain, and what share of their speed it leaves to couriers."""

    from_minute: float = 0
    until_minute: float = 0
    slows_to: float = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Courier:
    """One courier's shift; it begins at their place."""

    name: str
    place: Point
    on_minute: float
    off_minute: float
    goes_silent: str = "never"
    """As the sandbox's riders do; published couriers don't."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A day: orders by placement, the restaurants they name, and the couriers."""

    name: str
    orders: tuple[Order, ...]
    restaurants: dict[str, Point]
    couriers: tuple[Courier, ...]
    meters_per_minute: float
    pickup_service_minutes: float
    dropoff_service_minutes: float
    promise_minutes: float = 40
    bearable_minutes: float = 90
    guaranteed_orders_per_hour: float = 0
    """What a shift earns at least, in orders."""
    leg_minutes: float = 0
    """Every ride takes a multiple of this; 0: as long as it takes."""
    rain: tuple[Rain, ...] = ()


def read(source: Path, name: str, *, limit: int | None = None) -> Instance:
    """A day by name from a folder of days, a day's own folder, or an archive (or its folder).

    `limit`: only the first orders. Raises `NoInstance`, which lists what there is.
    """
    open_file = _finder(source, name)
    try:
        texts = {file: open_file(file) for file in FILES}
        return _instance(name, texts, limit)
    except (KeyError, ValueError, IndexError, StopIteration) as error:
        raise NoInstance(f"{source}: {name} is no MDRP instance: {error!r}") from error


def _finder(source: Path, name: str) -> Callable[[str], str]:
    for folder in (source / name, source):
        if folder.name == name and (folder / FILES[0]).is_file():
            return lambda file: (folder / file).read_text("utf-8")
    archives = sorted(source.glob("*.tar*")) if source.is_dir() else [source]
    found: set[str] = set()
    for archive in archives:
        if not archive.is_file():
            continue
        texts, names = _unpacked(archive, name)
        if texts:
            return texts.__getitem__
        found |= names
    if source.is_dir():
        found |= {path.parent.name for path in source.glob(f"*/{FILES[0]}")}
    listed = ", ".join(sorted(found)[:NAMES_SHOWN]) or "none"
    raise NoInstance(f"{source} has no instance {name!r}; it has {len(found)}: {listed} …")


def _unpacked(archive: Path, name: str) -> tuple[dict[str, str], set[str]]:
    """The texts of one day in an archive, and the names of all days in it."""
    texts: dict[str, str] = {}
    names: set[str] = set()
    try:
        with tarfile.open(archive) as opened:
            for member in opened:
                path = PurePosixPath(member.name)
                if path.name not in FILES or not member.isfile():
                    continue
                names.add(path.parent.name)
                content = opened.extractfile(member)
                if path.parent.name == name and content and member.size <= FILE_BYTES_MAX:
                    texts[path.name] = content.read().decode("utf-8")
    except tarfile.TarError as error:
        raise NoInstance(f"{archive} is no archive: {error}") from error
    return texts, names


def _instance(name: str, texts: dict[str, str], limit: int | None) -> Instance:
    parameters = next(_rows(texts["instance_parameters.txt"]))
    orders = sorted(
        (
            Order(
                name=row["order"],
                place=_place(row),
                restaurant=row["restaurant"],
                placement_minute=float(row["placement_time"]),
                ready_minute=float(row["ready_time"]),
            )
            for row in _rows(texts["orders.txt"])
        ),
        key=lambda order: order.placement_minute,
    )[:limit]
    named = {order.restaurant for order in orders}
    restaurants = {
        row["restaurant"]: _place(row)
        for row in _rows(texts["restaurants.txt"])
        if row["restaurant"] in named
    }
    if not orders or named != set(restaurants):
        raise ValueError("no orders, or orders of unknown restaurants")
    return Instance(
        name=name,
        orders=tuple(orders),
        restaurants=restaurants,
        couriers=tuple(
            Courier(
                name=row["courier"],
                place=_place(row),
                on_minute=float(row["on_time"]),
                off_minute=float(row["off_time"]),
            )
            for row in _rows(texts["couriers.txt"])
        ),
        meters_per_minute=float(parameters["meters_per_minute"]),
        pickup_service_minutes=float(parameters["pickup service minutes"]),
        dropoff_service_minutes=float(parameters["dropoff service minutes"]),
        promise_minutes=float(parameters["target click-to-door"]),
        bearable_minutes=float(parameters["maximum click-to-door"]),
        guaranteed_orders_per_hour=float(parameters["guaranteed pay per hour"])
        / float(parameters["pay per order"]),
        leg_minutes=1,
    )


def _rows(text: str) -> Iterator[dict[str, str]]:
    return iter(csv.DictReader(text.splitlines(), delimiter="\t"))


def _place(row: dict[str, str]) -> Point:
    return float(row["x"]), float(row["y"])
