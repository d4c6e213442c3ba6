"""Personal rows: names, phones, addresses, remarks, encrypted per subject; nothing else holds them.

Each subject has a data key, wrapped by `PAOTUI_PERSONAL_KEY`. Erasure destroys the data key, and
with it every copy of the rows, backups included.
"""

import base64
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    ForeignKeyConstraint,
    LargeBinary,
    Table,
    Text,
    delete,
    func,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import insert

from domain.errors import DomainError, Kind
from services.db import Reader, Writer, metadata
from services.settings import settings

VERSION = b"v1"
NONCE_BYTES = 12
DATA_KEY_BITS = 256
WRAPPING_KEY_BYTES = 32
ITEMS_MAX = 500
VALUE_BYTES_MAX = 16_384

keys = Table(
    "personal_keys",
    metadata,
    Column("site_id", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("wrapped_key", LargeBinary),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("destroyed_at", DateTime(timezone=True)),
    CheckConstraint("(wrapped_key IS NULL) = (destroyed_at IS NOT NULL)", name="key_or_destroyed"),
)

rows = Table(
    "personal",
    metadata,
    Column("site_id", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("ref", Text, primary_key=True),
    Column("ciphertext", LargeBinary, nullable=False),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    ForeignKeyConstraint(
        ["site_id", "subject"], ["personal_keys.site_id", "personal_keys.subject"]
    ),
)

OF_SUBJECT = (rows.c.site_id == keys.c.site_id) & (rows.c.subject == keys.c.subject)


class Item(NamedTuple):
    """The name of one personal row: whose it is, what it is, and which one."""

    site_id: str
    subject: str
    kind: str
    ref: str


class SubjectErased(DomainError):
    """This person asked to be forgotten: nothing more is kept of them."""

    kind = Kind.REFUSED
    problem = "action_not_allowed"


async def refs(reader: Reader, *, site_id: str, subject: str, kind: str) -> set[str]:
    """Of what there are values of this kind; none of them is opened."""
    wanted = select(rows.c.ref).where(
        rows.c.site_id == site_id, rows.c.subject == subject, rows.c.kind == kind
    )
    return {row.ref for row in await reader.all(wanted)}


async def put(
    writer: Writer, *, site_id: str, subject: str, kind: str, ref: str, value: dict[str, Any]
) -> None:
    """Keep a value (JSON, ≤ VALUE_BYTES_MAX), replacing the one of that name.

    Raises SubjectErased after erasure, ValueError when it is too large.
    """
    plain = orjson.dumps(value)
    if len(plain) > VALUE_BYTES_MAX:
        raise ValueError(f"a personal value has at most {VALUE_BYTES_MAX} bytes")
    item = Item(site_id, subject, kind, ref)
    sealed = _seal(await _data_key(writer, site_id, subject), plain, *item)
    statement = insert(rows).values(**item._asdict(), ciphertext=sealed)
    await writer.run(
        statement.on_conflict_do_update(
            constraint=rows.primary_key,
            set_={"ciphertext": statement.excluded.ciphertext, "updated_at": func.now()},
        )
    )


async def get(
    reader: Reader, *, site_id: str, subject: str, kind: str, ref: str
) -> dict[str, Any] | None:
    """The value, or None if there is none or it was erased."""
    item = Item(site_id, subject, kind, ref)
    return (await get_many(reader, [item])).get(item)


async def get_many(reader: Reader, items: Sequence[Item]) -> dict[Item, dict[str, Any]]:
    """The values there are, by name, of at most ITEMS_MAX names.

    Raises ValueError for more, InvalidTag when a row or a key was tampered with.
    """
    if len(items) > ITEMS_MAX:
        raise ValueError(f"at most {ITEMS_MAX} personal rows at once")
    name = (rows.c.site_id, rows.c.subject, rows.c.kind, rows.c.ref)
    found = await reader.all(
        select(*name, rows.c.ciphertext, keys.c.wrapped_key)
        .join(keys, OF_SUBJECT)
        .where(tuple_(*name).in_(items), keys.c.wrapped_key.is_not(None))
        .limit(ITEMS_MAX)
    )
    values = {}
    for row in found:
        item = Item(row.site_id, row.subject, row.kind, row.ref)
        data_key = _unseal(_wrapping_key(), row.wrapped_key, item.site_id, item.subject)
        values[item] = orjson.loads(_unseal(data_key, row.ciphertext, *item))
    return values


async def seal(writer: Writer, item: Item, plain: bytes) -> bytes:
    """Bytes that are kept elsewhere (a photo), closed under the subject's key and their own name.

    Raises SubjectErased after erasure.
    """
    return _seal(await _data_key(writer, item.site_id, item.subject), plain, *item)


async def unseal(reader: Reader, item: Item, sealed: bytes) -> bytes | None:
    """The bytes again, or None once the subject was erased."""
    wrapped_key = await reader.scalar(
        select(keys.c.wrapped_key).where(
            keys.c.site_id == item.site_id, keys.c.subject == item.subject
        )
    )
    if wrapped_key is None:
        return None
    data_key = _unseal(_wrapping_key(), wrapped_key, item.site_id, item.subject)
    return _unseal(data_key, sealed, *item)


async def drop(writer: Writer, item: Item) -> None:
    """Forget one value that nobody needs any more; repeating it changes nothing."""
    name = (rows.c.site_id, rows.c.subject, rows.c.kind, rows.c.ref)
    await writer.run(delete(rows).where(tuple_(*name) == tuple_(*item)))


async def erase(writer: Writer, *, site_id: str, subject: str) -> None:
    """Destroy the subject's key and rows for ever, known or not; repeating it changes nothing."""
    await writer.run(
        insert(keys)
        .values(site_id=site_id, subject=subject, destroyed_at=func.now())
        .on_conflict_do_update(
            constraint=keys.primary_key,
            set_={
                "wrapped_key": None,
                "destroyed_at": func.coalesce(keys.c.destroyed_at, func.now()),
            },
        )
    )
    await writer.run(delete(rows).where(rows.c.site_id == site_id, rows.c.subject == subject))


async def _data_key(writer: Writer, site_id: str, subject: str) -> bytes:
    """The subject's key, made on first use, share-locked so that an erasure waits for us."""
    known = (
        select(keys.c.wrapped_key)
        .where(keys.c.site_id == site_id, keys.c.subject == subject)
        .with_for_update(read=True)
    )
    row = await writer.first(known)
    if row is None:
        fresh = AESGCM.generate_key(DATA_KEY_BITS)
        wrapped_key = _seal(_wrapping_key(), fresh, site_id, subject)
        await writer.run(
            insert(keys)
            .values(site_id=site_id, subject=subject, wrapped_key=wrapped_key)
            .on_conflict_do_nothing()
        )
        row = await writer.first(known)
    if row is None or row.wrapped_key is None:
        raise SubjectErased
    return _unseal(_wrapping_key(), row.wrapped_key, site_id, subject)


def _wrapping_key() -> bytes:
    key = base64.b64decode(settings().personal_key.get_secret_value(), validate=True)
    if len(key) != WRAPPING_KEY_BYTES:
        raise ValueError(f"PAOTUI_PERSONAL_KEY is base64 of {WRAPPING_KEY_BYTES} bytes")
    return key


def _seal(key: bytes, plain: bytes, *bound_to: str) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return b"|".join((VERSION, nonce, AESGCM(key).encrypt(nonce, plain, _associated(bound_to))))


def _unseal(key: bytes, sealed: bytes, *bound_to: str) -> bytes:
    version, _, rest = sealed.partition(b"|")
    if version != VERSION:
        raise ValueError("a personal row of an unknown version")
    nonce, ciphertext = rest[:NONCE_BYTES], rest[NONCE_BYTES + 1 :]
    return AESGCM(key).decrypt(nonce, ciphertext, _associated(bound_to))


def _associated(bound_to: Sequence[str]) -> bytes:
    """The row's own name, so that ciphertexts can't change places; NUL is in no SQL text."""
    return b"\0".join((VERSION, *(part.encode() for part in bound_to)))
