"""Figures beside their targets: as a table for people and as JSON for programs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number; without a target it is there to be read beside the others."""

    name: str
    value: float
    unit: str
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""
    fair: bool = True
    """False: measured under a lighter load than the target asks for; that never meets it."""

    @property
    def target(self) -> str:
        """As it is written in the table."""
        if self.at_least is not None:
            return f"≥ {_number(self.at_least)}"
        return "" if self.at_most is None else f"≤ {_number(self.at_most)}"

    @property
    def met(self) -> bool | None:
        """None: there is no target. What could not be measured is missed."""
        if self.at_least is not None:
            return self.fair and self.value >= self.at_least
        return None if self.at_most is None else self.fair and self.value <= self.at_most

    def as_json(self) -> dict[str, Any]:
        """Every field, and whether the target is met."""
        value = None if math.isnan(self.value) else self.value
        return asdict(self) | {"value": value, "met": self.met}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """CPU time by part; the columns are loads, `title` names the unit."""

    title: str
    columns: Mapping[str, Mapping[str, float]]


def table(figures: Sequence[Figure]) -> list[str]:
    """Lines of the table of figures."""
    verdict = {True: "met", False: "MISSED", None: ""}
    rows = [("figure", "measured", "", "target", "", "")]
    rows += [
        (
            figure.name,
            _number(figure.value),
            figure.unit,
            figure.target,
            verdict[figure.met],
            figure.note,
        )
        for figure in figures
    ]
    return _aligned(rows, numbers={1, 3})


def cost_table(cost: Cost) -> list[str]:
    """Lines of a table of CPU time: parts downwards, the dearest first, and their sum."""
    parts = {part for column in cost.columns.values() for part in column}
    dearest = sorted(
        parts, key=lambda part: -max(column.get(part, 0) for column in cost.columns.values())
    )
    rows = [(cost.title, *cost.columns)]
    rows += [
        (part, *(_cell(column.get(part)) for column in cost.columns.values())) for part in dearest
    ]
    rows.append(("sum", *(_cell(sum(column.values())) for column in cost.columns.values())))
    return _aligned(rows, numbers=set(range(1, len(rows[0]))))


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _number(value: float) -> str:
    if math.isnan(value):
        return "–"
    if abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value == round(value) else f"{value:.2f}"


def _aligned(rows: Sequence[Sequence[str]], *, numbers: set[int]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if number in numbers else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
