"""Who asks: the roles that may ask for everybody, and every other role, which asks as the JWT's `sub`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.callers import ADMIN, DENIED, OTHER, ROWS_OF_TWO_USERS, USER, Caller, attempt, claims, value
from tests.support.commands import run_check
from tests.support.platforms import OWNER, create_platform, make_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.database import Database
    from tests.support.templates import Templates

TENANTS = "montoit_tenants"  # a role of the owner's own, that signed-in users get in his other application
SIGNED_IN = claims(TENANTS, USER)


@pytest.fixture(scope="module")
def asked(templates: Templates) -> Iterator[Database]:
    """A database as its superuser, with rows of two users; debug_mode is off, but for these two."""
    superuser, owner = create_platform(templates, "plain", make_schema)
    owner.execute(ROWS_OF_TWO_USERS)
    superuser.execute(f"create role {TENANTS}; grant authenticated to {TENANTS}")
    yield superuser
    superuser.execute(f"drop owned by {TENANTS}; drop role {TENANTS}")
    templates.drop(superuser.name)


TRUSTED = [Caller("service_role", ""), Caller(OWNER, ""), Caller("none", "")]
NOBODY = [Caller("anon", SIGNED_IN), Caller("anon", ""), Caller(TENANTS, ""), Caller("authenticated", "")]
ASK_ALL = "select check_feature_flags('{}') ->> 'debug_mode'"
ASK_ONE = "select check_feature_flag('debug_mode', '{}')::text"


@pytest.mark.parametrize("caller", TRUSTED, ids=lambda caller: caller.role)
@pytest.mark.parametrize("question", [ASK_ALL, ASK_ONE])
def test_the_service_the_owner_and_superusers_ask_for_everybody(asked: Database, caller: Caller, question: str) -> None:
    assert value(asked, caller, question.format(OTHER)) == "true"
    assert attempt(asked, caller, "select from intouch_payments_daily") == 7


@pytest.mark.parametrize("role", ["authenticated", TENANTS])
def test_every_other_role_asks_as_the_user_who_signed_in(asked: Database, role: str) -> None:
    user = Caller(role, claims(role, USER))
    administrator = Caller(role, claims(role, ADMIN, app_metadata={"role": "admin"}))
    for question in (ASK_ALL, ASK_ONE):
        assert value(asked, user, question.format(USER)) == "true"
        assert attempt(asked, user, question.format(OTHER)) == DENIED
        assert value(asked, administrator, question.format(OTHER)) == "true"
    assert value(asked, user, "select check_feature_flag('debug_mode')") is True, "null asks for the caller"
    assert attempt(asked, user, "select from intouch_payments_daily") == 0
    assert attempt(asked, administrator, "select from intouch_payments_daily") == 7


@pytest.mark.parametrize("caller", NOBODY, ids=lambda caller: f"{caller.role} {bool(caller.claims)}")
def test_who_did_not_sign_in_gets_nobodys_answer(asked: Database, caller: Caller) -> None:
    assert value(asked, caller, "select check_feature_flag('debug_mode')") is False
    if caller.role == "anon":
        assert value(asked, caller, ASK_ONE.format(USER)) == "false"
    else:
        assert attempt(asked, caller, ASK_ONE.format(USER)) == DENIED


def test_check_names_who_is_a_member_of_the_api_s_roles(asked: Database) -> None:
    """The platform's own members are left out; whoever is one by way of another role counts."""
    owner = asked.url.set(username=OWNER, password="owner").render_as_string(hide_password=False)
    address = owner.replace("postgresql+psycopg", "postgresql")
    for role in ("authenticator", "supabase_montoit_test", "montoit_indirect"):
        asked.execute(f"create role {role}")
    try:
        asked.execute("grant anon, authenticated, service_role to authenticator, supabase_montoit_test")
        code, problems = run_check(address)
        (found,) = problems["Rôles"]
        assert (code, found["level"]) == (0, "warning")
        assert f"authenticated : {TENANTS}" in found["message"]
        assert "authenticator" not in found["message"]
        assert "supabase_" not in found["message"]
        assert "service_role" not in found["message"]
        asked.execute("grant supabase_montoit_test to montoit_indirect")
        _, problems = run_check(address)
        assert "service_role : montoit_indirect" in problems["Rôles"][0]["message"]
        asked.execute(f"revoke authenticated from {TENANTS}; drop role montoit_indirect")
        assert run_check(address) == (0, {})
    finally:
        asked.execute("drop role if exists authenticator, supabase_montoit_test, montoit_indirect")
        asked.execute(f"grant authenticated to {TENANTS}")
