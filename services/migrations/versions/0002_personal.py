"""Personal rows, encrypted under one key per subject, so that erasure destroys a key."""

from alembic import op

revision = "0002_personal"
down_revision = "0001_ledger"

TABLES = """
CREATE TABLE personal_keys (
    site_id text NOT NULL,
    subject text NOT NULL,
    wrapped_key bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    destroyed_at timestamptz,
    CONSTRAINT pk_personal_keys PRIMARY KEY (site_id, subject),
    CONSTRAINT ck_personal_keys_key_or_destroyed
        CHECK ((wrapped_key IS NULL) = (destroyed_at IS NOT NULL))
);

CREATE TABLE personal (
    site_id text NOT NULL,
    subject text NOT NULL,
    kind text NOT NULL,
    ref text NOT NULL,
    ciphertext bytea NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT pk_personal PRIMARY KEY (site_id, subject, kind, ref),
    CONSTRAINT fk_personal_site_id
        FOREIGN KEY (site_id, subject) REFERENCES personal_keys
);
"""


def upgrade() -> None:
    op.execute(TABLES)
