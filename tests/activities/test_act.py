"""Each contract has one activity of its types; what is refused is not retried, faults are."""

import inspect
from dataclasses import dataclass
from typing import Any, get_type_hints

import pytest
from prometheus_client import REGISTRY
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.act import REGISTERED, act, failure
from domain.contracts.act import ALL, Act
from domain.errors import ActionNotAllowed, GatewayUnavailable
from services.db import Database
from services.gateways import Gateways
from services.settings import Settings
from workers.queues import QUEUES, Tools


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    order_id: str
    how: str = ""


TESTED = Act("tests.act", Asked, Asked)


class TestedActs:
    """One act that does what it is told."""

    __test__ = False

    @act(TESTED)
    async def do(self, asked: Asked) -> Asked:
        match asked.how:
            case "refuse":
                raise ActionNotAllowed("not now", status="delivered")
            case "wait":
                raise ApplicationError("not yet", type="not_paid_yet")
            case "crash":
                raise KeyError
        return asked


@pytest.fixture(scope="module", autouse=True)
def only_ours() -> None:
    REGISTERED.pop(TESTED.name, None)


def counted(outcome: str) -> float:
    labels = {"act": TESTED.name, "outcome": outcome}
    return REGISTRY.get_sample_value("paotui_acts_total", labels) or 0.0


def test_every_contract_has_a_registered_activity_and_no_activity_lacks_one() -> None:
    assert set(REGISTERED) == set(ALL)


async def test_every_contract_is_served_by_exactly_one_queue(postgres_url: str) -> None:
    tools = Tools(database=Database(postgres_url), gateways=Gateways(Settings()))
    served: list[str] = []
    for queue in QUEUES:
        for served_act in queue.activities(tools):
            definition: Any = activity._Definition.must_from_callable(served_act)
            contract = ALL[definition.name]
            hints = get_type_hints(inspect.unwrap(served_act.__func__))  # type: ignore[attr-defined]
            assert definition.arg_types == [contract.takes]
            assert hints["return"] == contract.gives
            served.append(definition.name)
    await tools.gateways.close()
    await tools.database.close()
    assert sorted(served) == sorted(ALL)


async def test_an_answer_passes_and_is_counted() -> None:
    before = counted("done")
    assert await TestedActs().do(Asked(order_id="o")) == Asked(order_id="o")
    assert counted("done") == before + 1
    assert REGISTRY.get_sample_value("paotui_act_seconds_count", {"act": TESTED.name})


async def test_a_refusal_keeps_its_name_and_is_counted_under_it() -> None:
    before = counted("action_not_allowed")
    with pytest.raises(ApplicationError) as caught:
        await TestedActs().do(Asked(order_id="o", how="refuse"))
    assert caught.value.type == "action_not_allowed"
    assert caught.value.details == ({"status": "delivered"},)
    assert caught.value.non_retryable
    assert counted("action_not_allowed") == before + 1


@pytest.mark.parametrize(
    ("how", "kind", "outcome"),
    [("wait", ApplicationError, "not_paid_yet"), ("crash", KeyError, "crashed")],
)
async def test_what_else_is_raised_goes_its_way(
    how: str, kind: type[Exception], outcome: str
) -> None:
    before = counted(outcome)
    with pytest.raises(kind):
        await TestedActs().do(Asked(order_id="o", how=how))
    assert counted(outcome) == before + 1


def test_only_what_is_unavailable_may_be_retried() -> None:
    assert not failure(GatewayUnavailable()).non_retryable
    assert failure(ActionNotAllowed()).non_retryable


def test_a_contract_has_one_activity() -> None:
    contract = Act("tests.twice", Asked, Asked)

    async def do(self: object, asked: Asked) -> Asked:  # noqa: ARG001
        return asked

    act(contract)(do)
    with pytest.raises(ValueError, match="already"):
        act(contract)(do)
    del REGISTERED[contract.name]
