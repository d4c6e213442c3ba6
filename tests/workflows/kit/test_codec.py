"""Payloads are closed, opened by old keys too, and a broken one never raises."""

import base64
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from temporalio.api.common.v1 import Payload

from workflows.kit.codec import ENCRYPTED, EncryptionCodec, is_undecodable, key_id_of

OLD, NEW = b"o" * 32, b"n" * 32


def text_of(*keys: bytes) -> str:
    return ",".join(base64.b64encode(key).decode() for key in keys)


def payload(data: bytes = b'"rice"', encoding: bytes = b"json/plain") -> Payload:
    return Payload(metadata={"encoding": encoding, "more": b"kept"}, data=data)


@given(data=st.binary(max_size=200), encoding=st.binary(min_size=1, max_size=20))
async def test_what_is_closed_opens_to_the_same(data: bytes, encoding: bytes) -> None:
    codec = EncryptionCodec.from_text(text_of(NEW))
    [closed] = await codec.encode([payload(data, encoding)])
    assert closed.metadata["encoding"] == ENCRYPTED
    assert await codec.decode([closed]) == [payload(data, encoding)]


async def test_nothing_of_the_plain_text_is_in_the_payload() -> None:
    codec = EncryptionCodec.from_text(text_of(NEW))
    first, second = await codec.encode([payload(b"canary"), payload(b"canary")])
    assert b"canary" not in first.SerializeToString()
    assert b"json" not in first.SerializeToString()
    assert first.data != second.data


async def test_a_new_key_encrypts_and_the_old_one_still_opens() -> None:
    [closed] = await EncryptionCodec.from_text(text_of(OLD)).encode([payload()])
    rotated = EncryptionCodec.from_text(text_of(NEW, OLD))
    assert await rotated.decode([closed]) == [payload()]
    [fresh] = await rotated.encode([payload()])
    assert fresh.metadata["key"] == key_id_of(NEW).encode()
    assert await EncryptionCodec.from_text(text_of(NEW)).decode([fresh]) == [payload()]


async def test_without_its_key_a_payload_is_marked() -> None:
    [closed] = await EncryptionCodec.from_text(text_of(OLD)).encode([payload()])
    [opened] = await EncryptionCodec.from_text(text_of(NEW)).decode([closed])
    assert is_undecodable(opened)
    assert (opened.metadata["encoding"], opened.data) == (b"json/plain", b"null")


@pytest.mark.parametrize("at", [0, 11, 12, -1])
async def test_every_flipped_byte_is_noticed(at: int) -> None:
    codec = EncryptionCodec.from_text(text_of(NEW))
    [closed] = await codec.encode([payload()])
    damaged = bytearray(closed.data)
    damaged[at] ^= 1
    [opened] = await codec.decode([Payload(metadata=closed.metadata, data=bytes(damaged))])
    assert is_undecodable(opened)


async def test_another_keys_name_is_noticed() -> None:
    both = EncryptionCodec(key_id_of(NEW), {key_id_of(NEW): NEW, "alias": NEW})
    [closed] = await both.encode([payload()])
    renamed = Payload(metadata={"encoding": ENCRYPTED, "key": b"alias"}, data=closed.data)
    [opened] = await both.decode([renamed])
    assert is_undecodable(opened)


@given(data=st.binary(max_size=64), key=st.sampled_from([b"", key_id_of(NEW).encode()]))
async def test_no_bytes_make_decode_raise(data: bytes, key: bytes) -> None:
    nonsense = Payload(metadata={"encoding": ENCRYPTED, "key": key}, data=data)
    [opened] = await EncryptionCodec.from_text(text_of(NEW)).decode([nonsense])
    assert is_undecodable(opened)


async def test_what_was_never_encrypted_passes_as_it_is() -> None:
    plain = [payload(), Payload(metadata={"encoding": b"binary/plain"}, data=b"\xff"), Payload()]
    codec = EncryptionCodec.from_text(text_of(NEW))
    assert await codec.decode(plain) == plain


@pytest.mark.parametrize("text", ["", "not base64!", base64.b64encode(os.urandom(16)).decode()])
def test_a_key_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        EncryptionCodec.from_text(text)
