"""Private schema, API roles, who a caller is."""

import sqlalchemy as sa
from alembic import op

from montoit_db.deploy.statements import refuse_to_lose_rows, run, run_file

revision = "0001"
down_revision = None

before_downgrade = refuse_to_lose_rows

# Roles belong to the whole cluster: another database's migration may create them at the same moment.
API_ROLES = """
do $$
declare
    wanted record;
begin
    for wanted in
        select * from (values
            ('anon', 'nologin noinherit'),
            ('authenticated', 'nologin noinherit'),
            ('service_role', 'nologin noinherit bypassrls')
        ) as roles (name, attributes)
    loop
        continue when exists (select from pg_catalog.pg_roles where rolname = wanted.name);
        begin
            execute format('create role %I %s', wanted.name, wanted.attributes);
        exception
            when duplicate_object or unique_violation then
                null;
            when insufficient_privilege then
                raise exception using
                    errcode = 'insufficient_privilege',
                    message = format('Le rôle %s manque et %s ne peut pas le créer.', wanted.name, current_user),
                    hint = format(
                        'Un administrateur de la base doit exécuter : create role %I %s;',
                        wanted.name, wanted.attributes
                    );
        end;
    end loop;
end;
$$;
"""

SCHEMA = """
create schema if not exists montoit;
comment on schema montoit is 'Private parts of montoit_db. Not to be exposed by the API.';
revoke all on schema montoit from public, anon, authenticated, service_role;
grant usage on schema montoit to anon, authenticated, service_role;

create table if not exists montoit.administrators (
    user_id uuid not null,
    created_at timestamptz default now() not null,
    constraint administrators_pkey primary key (user_id)
);
comment on table montoit.administrators is
    'Users who administer flags, besides those whose JWT says so in app_metadata.role.';
alter table montoit.administrators enable row level security;
revoke all on table montoit.administrators from public, anon, authenticated, service_role;

create table if not exists montoit.trail (
    id uuid default gen_random_uuid() not null,
    at timestamptz default clock_timestamp() not null,
    subject text not null,
    key text,
    user_id uuid,
    jwt_user uuid,
    role text not null,
    login_role text not null,
    reason text,
    before jsonb,
    after jsonb,
    constraint trail_pkey primary key (id)
);
create index if not exists idx_trail_at on montoit.trail (at);
comment on table montoit.trail is
    'Who ordered what, and why. Written by triggers and commands, and only added to. Flags have feature_flag_history.';
comment on column montoit.trail.at is 'When the line was written, so that the lines of a transaction have an order.';
comment on column montoit.trail.subject is
    'activation, rollback, rotation, rollout or purge (an order); override, credential or administrator (a row).';
comment on column montoit.trail.key is 'What was changed: a flag''s key, a credential''s name. Never a value.';
comment on column montoit.trail.user_id is 'Whom the change is about; no foreign key: the trail outlives the user.';
comment on column montoit.trail.jwt_user is 'The JWT''s user; null: nobody signed in.';
comment on column montoit.trail.role is 'Database role that made the change.';
comment on column montoit.trail.login_role is 'Database role that logged in (session_user).';
comment on column montoit.trail.reason is 'Why; null: the author did not say.';
alter table montoit.trail enable row level security;
revoke all on table montoit.trail from public, anon, authenticated, service_role;

alter table montoit.alembic_version enable row level security;
revoke all on table montoit.alembic_version from public, anon, authenticated, service_role;
"""

CLOSE_RECORD = """
alter table montoit.released_objects enable row level security;
revoke all on table montoit.released_objects, montoit.objects from public, anon, authenticated, service_role;
revoke all on function montoit.record_objects from public, anon, authenticated, service_role;
"""

# No note was taken before this revision: here are the platform's tables, and nothing of the schema that is made here.
FIRST_NOTE = """
select montoit.record_objects('note');
delete from montoit.released_objects where relation like 'montoit%';
"""

# Policies and exposed functions call these as their caller; the other functions are for the migration role.
CALLED_BY_API_ROLES = ("jwt_claims", "current_user_id", "caller_role", "is_admin", "is_trusted", "sees_everything")
FUNCTIONS = (
    *CALLED_BY_API_ROLES,
    "is_trusted_table",
    "roles_of",
    "touch_updated_at",
    "refuse_to_lose_rows",
    "change_rows",
    "order_reason",
    "stamp_trail",
    "keep_trail",
    "record_administrator",
)

TRIGGERS = """
create or replace trigger stamp_trail before insert on montoit.trail
    for each row execute function montoit.stamp_trail();
create or replace trigger keep_trail before update or delete or truncate on montoit.trail
    for each statement execute function montoit.keep_trail();
alter table montoit.trail enable always trigger keep_trail; -- also for a session that switches triggers off
create or replace trigger record_administrator after insert or update or delete on montoit.administrators
    for each row execute function montoit.record_administrator();
"""


def upgrade() -> None:
    """Create the roles that are missing, the schema and its functions; close the version table."""
    run(API_ROLES)
    run(SCHEMA)
    create_record()
    for function in FUNCTIONS:
        run_file(f"identity/{function}_v01")
        run(f"revoke all on function montoit.{function} from public, anon, authenticated, service_role;")
    for function in CALLED_BY_API_ROLES:
        run(f"grant execute on function montoit.{function} to anon, authenticated, service_role;")
    run(TRIGGERS)
    run("grant execute on function montoit.change_rows to service_role;")  # get_api_keys stamps rows as its caller


def create_record() -> None:
    """Create the record of what deployments have made, by which `montoit-db check` finds what was changed since."""
    op.create_table(
        "released_objects",
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("relation", sa.Text, nullable=False, comment="Table, view or function that it is, or belongs to."),
        sa.Column("name", sa.Text, nullable=False, comment="Empty: there is one of its kind."),
        sa.Column("definition", sa.Text, comment="The statement that makes it; null: no revision made it."),
        sa.Column("fingerprint", sa.Text, comment="Hash of what is compared; null: no revision made it."),
        sa.Column("before", sa.Text, comment="How a revision found the object; null: it was not there, or none runs."),
        sa.PrimaryKeyConstraint("kind", "relation", "name", name="released_objects_pkey"),
        comment="Objects as the revisions left them; each row was written by the revision that made the object.",
        schema="montoit",
    )
    run_file("drift/objects_v01")
    run_file("drift/record_objects_v01")
    run(CLOSE_RECORD)
    run(FIRST_NOTE)


def downgrade() -> None:
    """Drop what the schema holds. It stays for the version table, and the roles for the cluster's other databases."""
    run("lock table montoit.administrators, montoit.trail in access exclusive mode;")
    refuse_to_lose_rows()
    run("drop table montoit.administrators, montoit.trail;")
    for function in reversed(FUNCTIONS):
        run(f"drop function montoit.{function};")
    run(
        """
        drop function montoit.record_objects;
        drop view montoit.objects;
        drop table montoit.released_objects;
        comment on schema montoit is null;
        revoke usage on schema montoit from anon, authenticated, service_role;
        alter table montoit.alembic_version disable row level security;
        """
    )
