"""A named fact keeps its name, its data and its sentence on the way through Temporal."""

import pytest
from temporalio.api.failure.v1 import Failure
from temporalio.exceptions import ApplicationError

from domain.errors import ActionNotAllowed, GatewayUnavailable
from workflows.kit.codec import EncryptionCodec
from workflows.kit.plugin import converter
from workflows.kit.refuse import refused, refusing


def test_a_refusal_carries_problem_data_and_detail() -> None:
    error = refused(ActionNotAllowed("not while delivering", status="delivering"))
    assert error.type == "action_not_allowed"
    assert error.message == "not while delivering"
    assert error.details == ({"status": "delivering"},)
    assert error.non_retryable


def test_only_named_facts_are_turned() -> None:
    with pytest.raises(ApplicationError) as caught, refusing():
        raise GatewayUnavailable
    assert caught.value.type == "gateway_unavailable"
    assert caught.value.__cause__ is None
    with pytest.raises(KeyError), refusing():
        raise KeyError


async def test_a_refusal_is_encrypted_and_comes_back_whole() -> None:
    shared = converter(EncryptionCodec("k", {"k": b"k" * 32}))
    failure = Failure()
    await shared.encode_failure(refused(ActionNotAllowed("canary", status="canary")), failure)
    assert b"canary" not in failure.SerializeToString()
    back = await shared.decode_failure(failure)
    assert isinstance(back, ApplicationError)
    assert (back.type, back.message) == ("action_not_allowed", "canary")
    assert back.details == ({"status": "canary"},)
