"""Contracts and acts are one list; every file keeps its size and says what it is for."""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from temporalio import activity, workflow

from activities.act import REGISTERED
from domain.contracts import act
from services.db import Database
from services.gateways import Gateways
from services.settings import Settings
from workers.queues import QUEUES, Tools

ROOT = Path(__file__).resolve().parents[2]
ROOMS = (
    "domain",
    "services",
    "activities",
    "workflows",
    "workers",
    "api",
    "sandbox",
    "cli",
    "benchmarks",
    "tests",
)
MIGRATIONS = Path("services/migrations/versions")
"""Written once and never edited: as long as the tables they make."""
FILE_LINES = 400
FUNCTION_LINES = 70


def sources() -> Iterator[tuple[Path, ast.Module, int]]:
    """Every file of the rooms: its path, its tree, its lines."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            text = path.read_text()
            yield path.relative_to(ROOT), ast.parse(text), len(text.splitlines())


def functions(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


async def served(tmp_path: Path) -> list[activity._Definition]:
    """The activities that the queues' workers really run."""
    database = Database("postgresql://nobody@localhost/none")
    gateways = Gateways(Settings(home=tmp_path))
    tools = Tools(database=database, gateways=gateways)
    found = [
        activity._Definition.must_from_callable(one)
        for queue in QUEUES
        for one in queue.activities(tools)
    ]
    await gateways.close()
    await database.close()
    return found


async def test_each_contract_has_one_activity_that_a_queue_serves_and_no_other_is(
    tmp_path: Path,
) -> None:
    names = Counter(definition.name for definition in await served(tmp_path))
    assert set(names) == set(act.ALL)
    assert set(REGISTERED) == set(act.ALL)
    assert set(names.values()) == {1}


async def test_an_activity_takes_and_gives_what_its_contract_says(tmp_path: Path) -> None:
    for definition in await served(tmp_path):
        assert definition.name is not None
        contract = act.ALL[definition.name]
        assert definition.arg_types is not None
        assert definition.arg_types[-1] is contract.takes, definition.name
        assert definition.ret_type is contract.gives, definition.name


async def test_an_activity_says_what_it_does(tmp_path: Path) -> None:
    silent = [one.name for one in await served(tmp_path) if not one.fn.__doc__]
    assert silent == []


def test_the_names_of_workflows_are_pinned() -> None:
    names = [
        workflow._Definition.must_from_class(one).name
        for queue in QUEUES
        for one in queue.workflows
    ]
    assert sorted(filter(None, names)) == [
        "AfterSale",
        "Dispatch",
        "DisputeAnswers",
        "Payout",
        "Reconciliation",
        "Reconciliations",
        "Recover",
        "Refund",
        "Settlement",
        "Statements",
        "TakeawayOrder",
        "Ticket",
        "Tip",
    ]


def test_a_second_contract_of_the_same_name_is_no_contract() -> None:
    declared = [
        str(node.args[0].value)
        for path, tree, _ in sources()
        if path.parent == Path("domain/contracts")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "act"
        and isinstance(node.args[0], ast.Constant)
    ]
    assert sorted(declared) == sorted(act.ALL)


def test_every_module_says_what_belongs_in_it() -> None:
    silent = [
        str(path)
        for path, tree, _ in sources()
        if ast.get_docstring(tree) is None and path != Path("workflows/__init__.py")
    ]
    assert silent == []


def test_the_workflows_room_stays_empty_at_its_door() -> None:
    assert (ROOT / "workflows/__init__.py").read_text() == ""


def test_no_file_is_longer_than_400_lines() -> None:
    long = [
        f"{path}: {lines}"
        for path, _, lines in sources()
        if lines > FILE_LINES and path.parent != MIGRATIONS
    ]
    assert not long, "\n".join(long)


def test_no_function_is_longer_than_70_lines() -> None:
    long = [
        f"{path}: {name} {lines}"
        for path, tree, _ in sources()
        for name, lines in functions(tree)
        if lines > FUNCTION_LINES and path.parent != MIGRATIONS
    ]
    assert not long, "\n".join(long)
