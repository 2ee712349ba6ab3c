"""Objects of the platform's, or of its operators, that make an upgrade fail; `check` alone finds none of them."""

from __future__ import annotations

from typing import NamedTuple


class Failure(NamedTuple):
    """What somebody has added to a database, the revision that fails on it, and a part of the message."""

    sql: str
    revision: str
    told: str


FAILURES = {
    "a CHECK on api_keys": Failure(
        "alter table api_keys add constraint needs_keys check (keys <> '{}')", "0008", "contrainte needs_keys"
    ),
    "a check without production": Failure(
        "alter table api_keys add constraint only_tests check (service_name <> 'intouch' or environment = 'sandbox')",
        "0008",
        "contrainte only_tests",
    ),
    "a foreign key of service_name": Failure(
        "create table providers (name text primary key); insert into providers select service_name from api_keys;"
        "alter table api_keys add constraint known_provider foreign key (service_name) references providers (name)",
        "0008",
        "contrainte known_provider",
    ),
    "a trigger on feature_flags": Failure(
        "create function only_by_day() returns trigger language plpgsql as $$begin raise 'only by day'; end$$;"
        "create trigger only_by_day before update on feature_flags for each row"
        " when (new.key = 'orange_money' and new.is_enabled) execute function only_by_day()",
        "0008",
        "only by day",
    ),
    "a trigger that is deferred": Failure(
        "create function no_new_keys() returns trigger language plpgsql as $$begin raise 'no new keys'; end$$;"
        "create constraint trigger no_new_keys after insert on api_keys deferrable initially deferred"
        " for each row execute function no_new_keys()",
        "0008",
        "Les identifiants n'ont pas été enregistrés (SQLSTATE P0001)",
    ),
    "a view on another overload": Failure(
        "create function check_feature_flag(user_id uuid, flag_key text) returns boolean language sql as 'select true';"
        "create view open_flags as select key from feature_flags where check_feature_flag(null::uuid, key)",
        "0003",
        "SQLSTATE 2BP01",
    ),
    "an index of that name": Failure(
        "create index idx_payment_logs_created_at on profiles (full_name)", "0006", "idx_payment_logs_created_at"
    ),
    "a view of that name": Failure("create view intouch_costs as select 1 as fcfa", "0007", "(public.intouch_costs)"),
    "a type of that name": Failure("create type payment_logs as enum ('paid')", "0005", "payment_logs"),
    "a trigger of the history that needs a path": Failure(
        "create table audit (at timestamptz);"
        "create function note() returns trigger language plpgsql as"
        " $$begin insert into audit values (now()); return null; end$$;"
        "create trigger note after insert on feature_flag_history for each row execute function note()",
        "0008",
        'relation "audit" does not exist',
    ),
}
