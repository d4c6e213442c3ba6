"""What crosses into histories: frozen, flat, readable for ever by Temporal's default converter."""

import dataclasses
import importlib
import inspect
import math
import pkgutil
import types
import typing
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from temporalio.converter import DataConverter

from domain import contracts
from domain.contracts import act
from domain.contracts.life import Timers

LEAVES = {str, int, float, bool, datetime}
ROOMS = Path(__file__).resolve().parents[2] / "domain" / "contracts"
COUNTS = {
    "attempt",
    "instalments",
    "line_no",
    "notice_id",
    "notice_ids",
    "quantity",
    "refused",
    "seq",
    "tableware",
    "ticket_id",
    "ticks",
    "token",
    "told",
}
"""Whole numbers that count or name, and so carry no unit."""
NUMBER_UNITS = ("_fen", "_seconds")
TIME_ENDS = ("_at", "_by", "_from")


def crossing() -> Iterator[type]:
    """Every dataclass that crosses; the contract itself (`Act`) does not."""
    for module in pkgutil.iter_modules(contracts.__path__, f"{contracts.__name__}."):
        members = inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
        for _, one in members:
            here = one.__module__ == module.name and one is not act.Act
            if here and dataclasses.is_dataclass(one):
                yield one


CROSSING = sorted(crossing(), key=lambda one: one.__qualname__)
by_name = pytest.mark.parametrize("message", CROSSING, ids=lambda one: one.__qualname__)


def hints(message: type) -> dict[str, Any]:
    return typing.get_type_hints(message)


def leaves(kind: Any) -> Iterator[Any]:
    """The types a field's value is made of; a nested message counts as itself."""
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is None:
        yield kind
    elif origin is tuple:
        assert inner[1:] == (...,), f"{kind}: a tuple of any length is what JSON lists become"
        yield from leaves(inner[0])
    elif origin is dict:
        assert inner[0] is str, f"{kind}: JSON names are strings"
        yield from leaves(inner[1])
    else:
        assert origin in {typing.Union, types.UnionType}, f"{kind} does not come back from JSON"
        yield from (leaf for one in inner if one is not type(None) for leaf in leaves(one))


def values(kind: Any) -> st.SearchStrategy[Any]:
    """Made-up values of a field's type."""
    made: dict[Any, st.SearchStrategy[Any]] = {
        str: st.text(max_size=8),
        int: st.integers(-(2**53), 2**53),
        float: st.floats(allow_nan=False, allow_infinity=False),
        bool: st.booleans(),
        datetime: st.datetimes(timezones=st.just(UTC)),
        Any: st.text(max_size=8) | st.integers() | st.booleans() | st.lists(st.integers()),
    }
    if kind in made:
        return made[kind]
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        return st.lists(values(inner[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(st.text(max_size=4), values(inner[1]), max_size=3)
    return st.builds(kind, **{name: values(one) for name, one in hints(kind).items()})


def test_there_is_something_to_check() -> None:
    assert len(CROSSING) > 30
    crossed = {one.takes for one in act.ALL.values()} | {one.gives for one in act.ALL.values()}
    assert crossed <= set(CROSSING)


@by_name
def test_a_message_is_frozen_slotted_and_built_by_name(message: Any) -> None:
    assert message.__dataclass_params__.frozen
    assert all(field.kw_only for field in dataclasses.fields(message))
    assert not any("__dict__" in vars(one) for one in message.__mro__)


@by_name
def test_a_message_holds_only_what_the_default_converter_carries(message: type) -> None:
    for name, kind in hints(message).items():
        for leaf in leaves(kind):
            carried = leaf in LEAVES or leaf in CROSSING
            free = (message.__name__, name) == ("Intervene", "args")
            assert carried or free, f"{message.__name__}.{name}: {leaf}"


@by_name
def test_units_are_last_in_names(message: type) -> None:
    for name, kind in hints(message).items():
        found = set(leaves(kind))
        if name in COUNTS:
            assert found == {int}
        elif found & {int, float}:
            assert name.endswith(NUMBER_UNITS), f"{message.__name__}.{name} has no unit"
            assert name.endswith("_fen") <= (found == {int}), f"{name}: fen are whole"
        if found == {datetime}:
            assert name.endswith(TIME_ENDS), f"{message.__name__}.{name} is a time"


@by_name
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
async def test_a_message_comes_back_as_it_was(message: type, data: st.DataObject) -> None:
    sent = data.draw(values(message))
    [back] = await DataConverter.default.decode(
        await DataConverter.default.encode([sent]), [message]
    )
    assert back == sent
    assert type(back) is message


def test_a_contract_is_named_after_its_room_and_an_imperative() -> None:
    for name, contract in act.ALL.items():
        room, _, verb = name.partition(".")
        assert contract.name == name
        assert (ROOMS / f"{room}.py").exists()
        assert verb.replace("_", "").isalpha()


@given(speed=st.floats(0.1, 1_000))
def test_every_timer_runs_faster_on_a_faster_site(speed: float) -> None:
    plain, scaled = Timers(), Timers().scaled(speed)
    for field in dataclasses.fields(Timers):
        before, after = getattr(plain, field.name), getattr(scaled, field.name)
        if isinstance(before, tuple):
            assert len(after) == len(before)
            assert all(map(math.isclose, after, [one / speed for one in before]))
        else:
            assert math.isclose(after, before / speed)


def test_the_timers_of_life_are_those_of_the_table() -> None:
    timers = Timers()
    assert (timers.payment_seconds, timers.merchant_seconds) == (15 * 60, 5 * 60)
    assert timers.merchant_remind_seconds == timers.merchant_agree_seconds == 3 * 60
    assert (timers.offer_seconds, timers.rider_silence_seconds) == (30, 3 * 60)
    assert (timers.search_support_seconds, timers.search_seconds) == (20 * 60, 30 * 60)
    late = (timers.late_seconds, timers.late_support_seconds, timers.late_fail_seconds)
    assert late == (10 * 60, 30 * 60, 3 * 3_600)
    assert (timers.after_sale_seconds, timers.hold_seconds) == (24 * 3_600, 2 * 3_600)
    assert timers.scaled(1) == timers
