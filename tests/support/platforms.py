"""The kinds of PostgreSQL that the package is for, as a migration role finds them that is no superuser."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pytest

from tests.support.checkout import revision_module
from tests.support.commands import Alembic
from tests.support.database import Database

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.templates import Templates

Platform = Literal["plain", "supabase before October 2026", "supabase after October 2026"]
PLATFORMS: tuple[Platform, ...] = ("plain", "supabase before October 2026", "supabase after October 2026")

OWNER = "montoit_owner"
PASSWORD = "owner"

# A stand-in for the extension supabase_vault 0.3: its signatures, its grants (nobody inserts or updates the table), its
# unique names. A secret is kept encoded, so that whoever reads the table instead of the view gets no value.
VAULT = """
create table vault.secrets (
    id uuid primary key default gen_random_uuid(),
    name text,
    description text not null default '',
    secret text not null,
    key_id uuid,
    nonce bytea,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
create unique index secrets_name_idx on vault.secrets (name) where name is not null;
create view vault.decrypted_secrets as
select id, name, description, secret, convert_from(decode(secret, 'base64'), 'UTF8') as decrypted_secret,
       key_id, nonce, created_at, updated_at
from vault.secrets;
create function vault.create_secret(
    new_secret text, new_name text default null, new_description text default '', new_key_id uuid default null
) returns uuid language sql security definer set search_path = '' as $$
    insert into vault.secrets (secret, name, description, key_id)
    values (encode(convert_to(new_secret, 'UTF8'), 'base64'), new_name, new_description, new_key_id)
    returning id;
$$;
create function vault.update_secret(
    secret_id uuid, new_secret text default null, new_name text default null, new_description text default null,
    new_key_id uuid default null
) returns void language sql security definer set search_path = '' as $$
    update vault.secrets set
        secret = coalesce(encode(convert_to(new_secret, 'UTF8'), 'base64'), secret),
        name = coalesce(new_name, name),
        description = coalesce(new_description, description),
        key_id = coalesce(new_key_id, key_id),
        updated_at = now()
    where id = secret_id;
$$;
revoke all on all functions in schema vault from public;
select pg_extension_config_dump('vault.secrets', '');
"""
VAULT_GRANTS = f"""
grant usage on schema vault to {OWNER}, service_role;
grant select, delete on vault.secrets, vault.decrypted_secrets to {OWNER}, service_role;
grant execute on all functions in schema vault to {OWNER}, service_role;
"""

# What Supabase did for every new table and function of `public`, until 30 October 2026.
OLD_DEFAULT_PRIVILEGES = f"""
alter default privileges for role {OWNER} in schema public
    grant all on tables to anon, authenticated, service_role;
alter default privileges for role {OWNER} in schema public
    grant all on functions to anon, authenticated, service_role;
alter default privileges for role {OWNER} in schema public
    grant all on sequences to anon, authenticated, service_role;
"""


def create_roles(database: Database) -> None:
    """Create the API roles, as a superuser did on every platform, and the migration role."""
    database.execute(revision_module("0001_identity").API_ROLES)
    if not database.value(f"select count(*) from pg_roles where rolname = '{OWNER}'"):
        database.execute(f"create role {OWNER} login createrole bypassrls password '{PASSWORD}'")


def install_vault(database: Database) -> None:
    """Create the Vault's stand-in, as a superuser; skip the test if the server's folder is not writable."""
    folder = Path(database.value("select setting from pg_config where name = 'SHAREDIR'")) / "extension"
    version = sha256(VAULT.encode()).hexdigest()[:8]
    files = {f"supabase_vault--{version}.sql": VAULT, "supabase_vault.control": "schema = vault\nrelocatable = false\n"}
    if os.access(folder, os.W_OK):
        for name, text in files.items():
            if not (folder / name).exists():
                aside = folder / f"{name}.{os.getpid()}"
                aside.write_text(text, encoding="utf-8")
                aside.rename(folder / name)
    if not database.value(f"select count(*) from pg_available_extension_versions where version = '{version}'"):
        pytest.skip("the server's folder of extensions is not writable")
    database.execute(f"create extension supabase_vault version '{version}'")
    database.execute(VAULT_GRANTS)


def create_platform(
    templates: Templates, platform: Platform, prepare: Callable[[Database], object] | None = None
) -> tuple[Database, Database]:
    """Return a new database of this kind twice: as its superuser, and as its owner who migrates it.

    It is empty, or as its owner had it after `prepare`, which is done once.
    """

    def as_owner(database: Database) -> Database:
        return Database(database.url.set(username=OWNER, password=PASSWORD))

    def make(database: Database) -> None:
        if platform != "plain":
            install_vault(database)
        if platform == "supabase before October 2026":
            database.execute(OLD_DEFAULT_PRIVILEGES)
        if prepare:
            prepare(as_owner(database))

    create_roles(templates.server)
    superuser = templates.copy((platform, prepare), make, f"owner {OWNER}")
    return superuser, as_owner(superuser)


def make_schema(owner: Database) -> None:
    """Make everything but the activation."""
    Alembic(owner).succeeds("upgrade", "schema@head")


def activate(owner: Database) -> None:
    """Make everything, with InTouch on in production."""
    Alembic(owner).succeeds("upgrade", "head")
