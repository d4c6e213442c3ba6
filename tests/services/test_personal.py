"""Personal rows on a real PostgreSQL: unreadable without the key, gone after erasure."""

import asyncio
import os

import pytest
from cryptography.exceptions import InvalidTag
from sqlalchemy import insert, select, update

from services import personal
from services.db import Database
from services.personal import Item, SubjectErased, erase, get, get_many, put

pytestmark = pytest.mark.usefixtures("personal_key")
CANARY = "王小明 13800138000"


async def test_a_value_comes_back_and_is_replaced(database: Database, site_id: str) -> None:
    name = {"site_id": site_id, "subject": "customer/1", "kind": "address", "ref": "a1"}
    async with database.write() as writer:
        await put(writer, **name, value={"name": "old"})
        await put(writer, **name, value={"name": CANARY})
    async with database.read() as reader:
        assert await get(reader, **name) == {"name": CANARY}
        assert await get(reader, **{**name, "ref": "a2"}) is None
        assert await get(reader, **{**name, "site_id": "elsewhere"}) is None


async def test_rows_hold_no_plain_text_and_no_plain_key(database: Database, site_id: str) -> None:
    name = {"site_id": site_id, "subject": "s", "kind": "k", "ref": "r"}
    for _ in range(2):
        async with database.write() as writer:
            await put(writer, **name, value={"name": CANARY})
    async with database.read() as reader:
        of_site = personal.rows.c.site_id == site_id
        ciphertext: bytes = await reader.scalar(select(personal.rows.c.ciphertext).where(of_site))
        found = await reader.all(select(personal.keys).where(personal.keys.c.site_id == site_id))
    assert ciphertext.startswith(b"v1|")
    assert CANARY.encode() not in ciphertext
    assert b"13800138000" not in ciphertext
    assert len(found) == 1
    assert found[0].wrapped_key.startswith(b"v1|")
    assert found[0].destroyed_at is None


async def test_many_are_read_at_once_within_a_bound(database: Database, site_id: str) -> None:
    items = [Item(site_id, f"s{number % 3}", "remark", str(number)) for number in range(9)]
    async with database.write() as writer:
        for item in items:
            await put(writer, **item._asdict(), value={"text": item.ref})
    missing = Item(site_id, "s0", "remark", "none")
    async with database.read() as reader:
        values = await get_many(reader, [*items, missing])
        assert await get_many(reader, []) == {}
        with pytest.raises(ValueError, match="at most"):
            await get_many(reader, [missing] * (personal.ITEMS_MAX + 1))
    assert values == {item: {"text": item.ref} for item in items}


async def test_ciphertexts_cannot_change_places(database: Database, site_id: str) -> None:
    """A row copied to another name, even of the same subject, does not open."""
    async with database.write() as writer:
        await put(writer, site_id=site_id, subject="s", kind="k", ref="mine", value={"a": 1})
        ciphertext = await writer.scalar(
            select(personal.rows.c.ciphertext).where(personal.rows.c.site_id == site_id)
        )
        await writer.run(
            insert(personal.rows).values(
                site_id=site_id, subject="s", kind="k", ref="theirs", ciphertext=ciphertext
            )
        )
        await writer.run(
            insert(personal.rows).values(
                site_id=site_id, subject="s", kind="k", ref="v9", ciphertext=b"v9|" + ciphertext[3:]
            )
        )
    async with database.read() as reader:
        with pytest.raises(InvalidTag):
            await get(reader, site_id=site_id, subject="s", kind="k", ref="theirs")
        with pytest.raises(ValueError, match="unknown version"):
            await get(reader, site_id=site_id, subject="s", kind="k", ref="v9")


async def test_a_damaged_row_is_not_read(database: Database, site_id: str) -> None:
    async with database.write() as writer:
        await put(writer, site_id=site_id, subject="s", kind="k", ref="r", value={"a": 1})
        of_site = personal.rows.c.site_id == site_id
        intact: bytes = await writer.scalar(select(personal.rows.c.ciphertext).where(of_site))
        damaged = intact[:-1] + bytes([intact[-1] ^ 1])
        await writer.run(update(personal.rows).where(of_site).values(ciphertext=damaged))
    async with database.read() as reader:
        with pytest.raises(InvalidTag):
            await get(reader, site_id=site_id, subject="s", kind="k", ref="r")


async def test_erasure_is_for_ever_and_only_for_its_subject(
    database: Database, site_id: str
) -> None:
    gone = {"site_id": site_id, "subject": "gone", "kind": "k", "ref": "r"}
    stays = {**gone, "subject": "stays"}
    async with database.write() as writer:
        await put(writer, **gone, value={"a": 1})
        await put(writer, **stays, value={"a": 2})
    for _ in range(2):
        async with database.write() as writer:
            await erase(writer, site_id=site_id, subject="gone")
    async with database.read() as reader:
        assert await get(reader, **gone) is None
        assert await get(reader, **stays) == {"a": 2}
        key = await reader.first(
            select(personal.keys).where(
                personal.keys.c.site_id == site_id, personal.keys.c.subject == "gone"
            )
        )
    assert key is not None
    assert key.wrapped_key is None
    assert key.destroyed_at is not None
    with pytest.raises(SubjectErased):
        async with database.write() as writer:
            await put(writer, **gone, value={"a": 3})


async def test_a_row_restored_after_erasure_stays_closed(database: Database, site_id: str) -> None:
    name = {"site_id": site_id, "subject": "s", "kind": "k", "ref": "r"}
    async with database.write() as writer:
        await put(writer, **name, value={"a": 1})
        of_site = personal.rows.c.site_id == site_id
        copied = await writer.scalar(select(personal.rows.c.ciphertext).where(of_site))
        await erase(writer, site_id=site_id, subject="s")
        await writer.run(insert(personal.rows).values(**name, ciphertext=copied))
    async with database.read() as reader:
        assert await get(reader, **name) is None


async def test_first_puts_at_once_share_one_key(database: Database, site_id: str) -> None:
    async def one(ref: str) -> None:
        async with database.write() as writer:
            await put(writer, site_id=site_id, subject="s", kind="k", ref=ref, value={"ref": ref})

    await asyncio.gather(*(one(str(number)) for number in range(8)))
    items = [Item(site_id, "s", "k", str(number)) for number in range(8)]
    async with database.read() as reader:
        assert await get_many(reader, items) == {item: {"ref": item.ref} for item in items}


async def test_a_put_against_an_erasure_leaves_nothing(database: Database, site_id: str) -> None:
    """Whoever is first, no row outlives the erasure."""
    for number in range(10):
        name = {"site_id": site_id, "subject": f"s{number}", "kind": "k", "ref": "r"}

        async def keep(name: dict[str, str] = name) -> None:
            async with database.write() as writer:
                await put(writer, **name, value={"a": 1})

        async def forget(subject: str = name["subject"]) -> None:
            async with database.write() as writer:
                await erase(writer, site_id=site_id, subject=subject)

        kept, forgot = await asyncio.gather(keep(), forget(), return_exceptions=True)
        assert kept is None or isinstance(kept, SubjectErased)
        assert forgot is None
    async with database.read() as reader:
        of_site = personal.rows.c.site_id == site_id
        assert await reader.all(select(personal.rows.c.ref).where(of_site)) == []


async def test_too_large_a_value_is_refused(database: Database, site_id: str) -> None:
    text = os.urandom(personal.VALUE_BYTES_MAX // 2).hex()
    with pytest.raises(ValueError, match="bytes"):
        async with database.write() as writer:
            await put(writer, site_id=site_id, subject="s", kind="k", ref="r", value={"text": text})
