"""The hand-over code: four digits, the same for ever, another for each order and key."""

from hypothesis import given
from hypothesis import strategies as st

from domain.proof import handover_code, proves


@given(order_id=st.text(max_size=30), key=st.binary(min_size=1, max_size=64))
def test_it_is_four_digits_and_proves_itself(order_id: str, key: bytes) -> None:
    code = handover_code(order_id, key)

    assert len(code) == 4
    assert code.isascii()
    assert code.isdigit()
    assert proves(order_id, key, code)
    assert not proves(order_id, key, f"{(int(code) + 1) % 10_000:04d}")


def test_codes_spread_over_orders_and_depend_on_the_key() -> None:
    codes = {handover_code(f"order-{n}", b"key") for n in range(1_000)}

    assert len(codes) > 900
    assert handover_code("order-1", b"key") != handover_code("order-1", b"other")


def test_a_code_that_is_no_code_proves_nothing() -> None:
    assert not proves("order", b"key", "")
    assert not proves("order", b"key", "１２３４")
