"""What the documents say is there, is there: words of the enums, paths, shapes of decisions."""

import inspect
import re
from enum import StrEnum
from pathlib import Path

import pytest

from domain import orders, tickets
from domain.after_sale import State as AfterSale
from domain.books import CHART
from domain.contracts.refunds import RefundState
from domain.reconciliation import Flaw, Verdict

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
GLOSSARY = (ROOT / "docs/glossary.md").read_text()
ADRS = [path for path in DOCS if path.parent.name == "adr"]
ADR_LINES = 70
SECTIONS = ["Context", "Decision", "Consequences", "Alternatives"]
PATH = re.compile(r"`((?:[a-z_]+/)+(?:[\w.-]+)?)`")
ENUMS: list[type[StrEnum]] = [
    kind
    for kind in vars(orders).values()
    if inspect.isclass(kind) and issubclass(kind, StrEnum) and kind.__module__ == orders.__name__
] + [RefundState, tickets.State, tickets.Owner, tickets.Outcome, Verdict, Flaw, AfterSale]
MEMBERS = [member for kind in ENUMS for member in kind]


@pytest.mark.parametrize("member", MEMBERS, ids=repr)
def test_the_glossary_explains_every_value(member: StrEnum) -> None:
    assert f"`{member.value}`" in GLOSSARY


def test_the_glossary_has_the_chinese_names_of_states_and_accounts() -> None:
    source = inspect.getsource(orders) + inspect.getsource(RefundState)
    names = set(re.findall(r'^ +"""([一-鿿]+)', source, re.MULTILINE))
    names |= {row.name for row in CHART.values()}
    assert len(names) > 30
    assert sorted(name for name in names if name not in GLOSSARY) == []


@pytest.mark.parametrize("document", DOCS, ids=lambda path: path.name)
def test_every_path_named_in_a_document_exists(document: Path) -> None:
    named = set(PATH.findall(document.read_text()))
    assert sorted(path for path in named if not (ROOT / path).exists()) == []


def test_decisions_are_numbered_without_gaps() -> None:
    numbers = [int(path.name[:4]) for path in ADRS]
    assert numbers == list(range(1, len(ADRS) + 1))


@pytest.mark.parametrize("adr", ADRS, ids=lambda path: path.name)
def test_a_decision_is_a_page_of_four_sections(adr: Path) -> None:
    lines = adr.read_text().splitlines()
    assert lines[0].startswith(f"# {int(adr.name[:4])}. ")
    assert [line[3:] for line in lines if line.startswith("## ")] == SECTIONS
    assert len(lines) <= ADR_LINES
