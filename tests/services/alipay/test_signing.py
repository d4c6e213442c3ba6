"""Signatures over raw JSON: found by reading texts as texts, whatever stands in them."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.outcomes import Accepted, Refusal, Rejected, Unknown
from services.alipay.signing import is_signed, raw_members, read_node, sign, signed_text
from services.alipay.wire import read_answer
from tests.services.alipay.conftest import Keys

METHOD = "alipay.trade.query"
NODE = "alipay_trade_query_response"
HOSTILE = st.text(st.sampled_from('{}[]"\\/:,sign支 \n\t\u2028'), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | HOSTILE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(HOSTILE, inner, max_size=3),
    max_leaves=8,
)


def _dump(value: Any, *, spaced: bool, slashed: bool, ascii_only: bool) -> str:
    separators = (", ", " : ") if spaced else (",", ":")
    text = json.dumps(value, separators=separators, ensure_ascii=ascii_only)
    return text.replace("/", "\\/") if slashed else text


@given(
    members=st.dictionaries(HOSTILE, JSON, max_size=4),
    spaced=st.booleans(),
    slashed=st.booleans(),
    ascii_only=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_members_are_exactly_as_written(members: dict[str, Any], **form: bool) -> None:
    raw = {name: _dump(value, **form) for name, value in members.items()}
    comma, colon = (" ,\n", "\t: ") if form["spaced"] else (",", ":")
    text = comma.join(f"{_dump(name, **form)}{colon}{value}" for name, value in raw.items())
    if not members:
        return
    assert raw_members("{" + text + "}") == raw


@given(text=st.text(st.sampled_from('{}[]":,\\ a1tn'), max_size=30) | JSON.map(json.dumps))
@settings(max_examples=300, deadline=None)
def test_anything_else_is_a_value_error(text: str) -> None:
    try:
        members = raw_members(text)
    except ValueError:
        return
    assert {name: json.loads(raw) for name, raw in members.items()} == json.loads(text)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"a":1', '{"a":1}x', '{"a":1,"a":2}', '{"a":{"b":1,"b":2}}', "{" * 10_000],
)
def test_what_is_no_answer_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError):
        raw_members(text)
    with pytest.raises(ValueError):
        raw_members('{"a":' + "[" * 100_000)


def test_a_node_is_an_object() -> None:
    with pytest.raises(ValueError):
        read_node("[]")


def test_signed_text_is_sorted_and_unencoded(keys: Keys) -> None:
    text = signed_text({"b": "2 &=", "a": "支"})
    assert text == "a=支&b=2 &="
    signature = sign(keys.alipay_key, text)
    assert is_signed(keys.account.alipay_public_key, text, signature)
    assert not is_signed(keys.account.alipay_public_key, text, signature[:-4])
    assert not is_signed(keys.account.alipay_public_key, text, "é")


@given(subject=HOSTILE | st.text(max_size=30), slashed=st.booleans(), first=st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_signed_node_is_believed_and_a_changed_one_not(
    keys: Keys, subject: str, *, slashed: bool, first: bool
) -> None:
    raw = _dump(
        {"code": "10000", "subject": subject}, spaced=False, slashed=slashed, ascii_only=True
    )
    parts = [f'"{NODE}":{raw}', f'"sign":"{sign(keys.alipay_key, raw)}"']
    body = "{" + ",".join(parts if first else parts[::-1]) + "}"
    found = read_answer(keys.account, METHOD, body.encode())
    assert found == Accepted(value={"code": "10000", "subject": subject})
    changed = body.replace('"code":"10000"', '"code": "10000"')
    assert read_answer(keys.account, METHOD, changed.encode()) == Unknown(reason="bad_signature")


@pytest.mark.parametrize(
    ("node", "result"),
    [
        ({"code": "20000", "sub_code": "aop.unknow-error"}, Unknown(reason="aop.unknow-error")),
        ({"code": "10003"}, Unknown(reason="10003")),
        ({"code": "40005", "sub_code": "isv.x"}, Unknown(reason="isv.x")),
        (
            {"code": "40004", "sub_code": "ACQ.SYSTEM_ERROR"},
            Unknown(reason="ACQ.SYSTEM_ERROR"),
        ),
        (
            {"code": "40004", "sub_code": "ACQ.TRADE_NOT_EXIST"},
            Rejected(code="ACQ.TRADE_NOT_EXIST", kind=Refusal.NOT_FOUND),
        ),
        (
            {"code": "40004", "sub_code": "ACQ.SELLER_BALANCE_NOT_ENOUGH"},
            Rejected(code="ACQ.SELLER_BALANCE_NOT_ENOUGH", kind=Refusal.LATER),
        ),
        ({"code": "40004", "sub_code": "<script>"}, Unknown(reason="wrong_shape")),
        ({"code": 10000}, Unknown(reason="wrong_shape")),
        ({}, Unknown(reason="wrong_shape")),
    ],
)
def test_codes_are_one_of_three_results(keys: Keys, node: dict[str, Any], result: object) -> None:
    raw = json.dumps(node)
    body = f'{{"{NODE}":{raw},"sign":"{sign(keys.alipay_key, raw)}"}}'
    assert read_answer(keys.account, METHOD, body.encode()) == result


def test_only_refusals_at_the_door_need_no_signature(keys: Keys) -> None:
    refused = '{"code":"40002","sub_code":"isv.invalid-signature"}'
    for name in ("error_response", NODE):
        body = f'{{"{name}":{refused}}}'.encode()
        assert read_answer(keys.account, METHOD, body) == Rejected(code="isv.invalid-signature")
    for code in ("10000", "40004"):
        for name in ("error_response", NODE):
            body = f'{{"{name}":{{"code":"{code}"}}}}'.encode()
            assert read_answer(keys.account, METHOD, body) == Unknown(reason="bad_signature")
    assert read_answer(keys.account, METHOD, b"\xff") == Unknown(reason="wrong_shape")
