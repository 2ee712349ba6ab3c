"""Whoever asks the API: the roles and claims that PostgREST hands on, and what each gets for a statement."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg.errors import InsufficientPrivilege
from sqlalchemy.exc import ProgrammingError

from montoit_db.database import make_engine

if TYPE_CHECKING:
    from sqlalchemy import Connection, CursorResult

    from tests.support.database import Database

USER = "11111111-1111-4111-8111-111111111111"
OTHER = "22222222-2222-4222-8222-222222222222"
ADMIN = "33333333-3333-4333-8333-333333333333"
DENIED = "42501"


class Caller(NamedTuple):
    """A request as PostgREST hands it on: the database role and the JWT's claims."""

    role: str
    claims: str


def claims(role: str, user: str, **more: object) -> str:
    """Return a JWT's claims, as the setting `request.jwt.claims` holds them."""
    return json.dumps({"role": role, "sub": user, **more})


CALLERS = {
    "anon": Caller("anon", '{"role": "anon"}'),
    "nobody": Caller("authenticated", "not json"),
    "user": Caller("authenticated", claims("authenticated", USER)),
    "administrator": Caller("authenticated", claims("authenticated", ADMIN, app_metadata={"role": "admin"})),
    "service": Caller("service_role", '{"role": "service_role"}'),
}

ROWS_OF_TWO_USERS = f"""
insert into public.feature_flag_overrides (feature_flag_id, user_id, is_enabled)
select id, u, true from public.feature_flags, unnest(array['{USER}', '{OTHER}']::uuid[]) as u where key = 'debug_mode';
insert into public.payment_logs (user_id, amount, payment_method, partner_transaction_id, status)
values ('{USER}', 1000, 'wave', 'a', 'success'), ('{OTHER}', 2000, 'wave', 'b', 'failed');
insert into public.sms_logs (user_id, phone_number, message, partner_transaction_id)
values ('{USER}', '+2250701020304', 'm', 'a'), ('{OTHER}', '+2250701020305', 'm', 'b');
insert into public.whatsapp_logs (user_id, phone_number, message, partner_transaction_id)
values ('{USER}', '+2250701020304', 'm', 'a'), ('{OTHER}', '+2250701020305', 'm', 'b');
insert into public.api_keys (service_name, key_name, environment) values ('brevo', 'token', 'production');
"""


OVERRIDE = (
    "insert into feature_flag_overrides (feature_flag_id, user_id, is_enabled, created_by)"
    " values ('{}', '{}', true, '{}')"
)


def attempt(database: Database, caller: Caller, sql: str) -> int | str:
    """Return how many rows a statement sees or changes, or the SQLSTATE; nothing of it stays."""
    with make_engine(database.url).connect() as connection:
        return attempt_on(connection, caller, sql)


def attempt_on(connection: Connection, caller: Caller, sql: str) -> int | str:
    """Do the same in a transaction of `connection`, which is rolled back."""
    try:
        return ask(connection.exec_driver_sql, caller, sql).rowcount
    except ProgrammingError as error:
        if not isinstance(error.orig, InsufficientPrivilege):
            raise
        return DENIED
    finally:
        connection.rollback()


def ask(execute: Any, caller: Caller, sql: str) -> CursorResult[Any]:  # noqa: ANN401 -- a bound method
    """Execute a statement as this caller, in the transaction of `execute`."""
    execute(f"set local role {caller.role}")
    execute("select set_config('request.jwt.claims', %(claims)s, true)", {"claims": caller.claims})
    result: CursorResult[Any] = execute(sql, execution_options={"no_parameters": True})
    return result


def commit(database: Database, caller: Caller, sql: str, reason: str = "") -> None:
    """Execute a statement as this caller, with a reason, and keep what it did."""
    with make_engine(database.url).begin() as connection:
        headers = json.dumps({"x-montoit-reason": reason})
        connection.exec_driver_sql("select set_config('request.headers', %(headers)s, true)", {"headers": headers})
        ask(connection.exec_driver_sql, caller, sql)


def value(database: Database, caller: Caller, sql: str) -> Any:  # noqa: ANN401 -- whatever the statement returns
    """Return the one value that a caller gets; nothing of it stays."""
    with make_engine(database.url).connect() as connection:
        return ask(connection.exec_driver_sql, caller, sql).scalar_one()
