"""Credentials of the services."""

from montoit_db.deploy.statements import refuse_to_lose_rows, run, run_file

revision = "0004"
down_revision = "0003"
adopts_tables = True

before_downgrade = refuse_to_lose_rows

TABLE = """
create table montoit.api_keys (
    id uuid default gen_random_uuid() not null,
    service_name text not null,
    key_name text not null,
    key_value text,
    secret_id uuid,
    endpoint text,
    environment text default 'sandbox' not null,
    is_active boolean default true not null,
    metadata jsonb default '{}'::jsonb not null,
    last_used_at timestamptz,
    created_at timestamptz default now() not null,
    updated_at timestamptz default now() not null,
    constraint api_keys_pkey primary key (id),
    constraint api_keys_service_name_key_name_environment_key unique (service_name, key_name, environment),
    constraint api_keys_secret_id_key unique (secret_id),
    constraint api_keys_environment_check check (environment in ('sandbox', 'production')),
    constraint api_keys_one_store_check check (key_value is null or secret_id is null)
);
comment on table montoit.api_keys is
    'Credentials of the services that the platform calls. For the service role alone.';
comment on column montoit.api_keys.key_value is 'The secret itself; null: it is in the Vault, see secret_id.';
comment on column montoit.api_keys.secret_id is 'The secret''s id in the Vault; null: it is in key_value.';
comment on column montoit.api_keys.endpoint is 'Root of the service''s API.';
comment on column montoit.api_keys.last_used_at is 'Last read by a caller; null: never.';

select montoit.settle('api_keys');

alter table public.api_keys enable row level security;
revoke all on table public.api_keys from public, anon, authenticated, service_role;

create or replace trigger touch_updated_at
    before update of key_name, key_value, secret_id, endpoint, environment, is_active, metadata on public.api_keys
    for each row execute function montoit.touch_updated_at();
"""

GRANTS = """
revoke all on function
    montoit.keep_credential, montoit.store_credentials, montoit.verify_credentials, montoit.switch_off,
    montoit.raise_without_values, montoit.read_credentials, montoit.take_credential, public.get_api_keys
    from public, anon, authenticated, service_role;
grant execute on function montoit.read_credentials, public.get_api_keys to service_role;
"""

# Secrets that only our rows point to would be lost to everyone's sight in the Vault.
DROP_SECRETS = """
do $$
begin
    if to_regclass('vault.secrets') is not null then
        delete from vault.secrets
        where id in (select secret_id from public.api_keys where service_name = 'intouch');
    end if;
end;
$$;
"""


def upgrade() -> None:
    """Create the table, open what each role may see, and add the functions that fill and read it."""
    run(TABLE)
    run_file("keep_credential_v01")
    run_file("adopt_api_keys_v01")
    run_file("api_keys_policies_v01")
    run_file("read_credentials_v01")
    run_file("raise_without_values_v01")
    run_file("given_credentials_v01")
    run_file("store_credentials_v01")
    run_file("verify_credentials_v01")
    run_file("switch_off_v01")
    run_file("get_api_keys_v01")
    run(GRANTS)
    run("select montoit.settled('api_keys');")


def downgrade() -> None:
    """Drop them, once nobody can write to the table and it is empty or may be lost."""
    run("lock table public.api_keys in access exclusive mode;")
    refuse_to_lose_rows()
    run(DROP_SECRETS)
    run(
        """
        select montoit.give_back('api_keys', 'public.get_api_keys(text)');
        drop function montoit.switch_off;
        drop function montoit.verify_credentials;
        drop function montoit.store_credentials;
        drop view montoit.given_credentials;
        drop function montoit.take_credential;
        drop function montoit.raise_without_values;
        drop function montoit.read_credentials;
        drop function montoit.keep_credential;
        """
    )
