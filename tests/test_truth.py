"""What is said is true: an order that was not carried out is not green, 0 % is nobody, a remedy leads somewhere."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.commands import Alembic, run_montoit_db
from tests.support.settings import PRODUCTION, SANDBOX

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.database import Database


def test_an_order_for_the_other_environment_is_not_green(activated: Database) -> None:
    """The three commands of the pipeline file; orders for the schema alone ignore it."""
    alembic = Alembic(activated)
    for word in ("head", "intouch@head"):
        told = alembic.refuses("upgrade", word, environment=SANDBOX)
        assert "InTouch est en production, et INTOUCH_ENVIRONMENT demande sandbox" in told
        assert "alembic downgrade -1, puis : alembic upgrade head" in told
    check = run_montoit_db(activated, "check", environment=SANDBOX)
    assert check.code == 1
    assert "❌ Environnement : InTouch est en production, et INTOUCH_ENVIRONMENT demande sandbox\n" in check.out
    assert "alembic downgrade -1, puis : alembic upgrade head" in check.out
    status = run_montoit_db(activated, "status", environment=SANDBOX)
    assert status.code == 1
    assert "InTouch est en production, et INTOUCH_ENVIRONMENT demande sandbox" in status.err

    alembic.succeeds("upgrade", "schema@head", environment=SANDBOX)
    assert run_montoit_db(activated, "check", "--schema", environment=SANDBOX).code == 0
    unset = {name: value for name, value in PRODUCTION.items() if name != "INTOUCH_ENVIRONMENT"}
    assert run_montoit_db(activated, "status", environment=unset).code == 0


def test_a_share_of_nobody_is_a_pause(activated: Database) -> None:
    assert run_montoit_db(activated, "rollout", "0", "--flag", "wave_payment", "--yes").code == 0
    one = run_montoit_db(activated, "status")
    assert (one.code, "OPÉRATIONNELLE" in one.out) == (1, False)
    assert "Services activés : 6/7" in one.out
    assert "Wave : EN PAUSE (0 % : personne)" in one.out
    assert one.out.endswith("Pour le rendre opérationnel : montoit-db rollout 100 --flag wave_payment\n")

    assert run_montoit_db(activated, "rollout", "0", "--yes").code == 0
    all_of_them = run_montoit_db(activated, "status", "--json")
    document = json.loads(all_of_them.out)
    assert (all_of_them.code, document["operational"]) == (1, False)
    assert {service["state"] for service in document["services"]} == {"paused"}
    assert run_montoit_db(activated, "test-commands").code == 1
    idle = Alembic(activated).succeeds("upgrade", "head").out
    assert "InTouch n'est pas opérationnel pour autant" in idle
    assert "montoit-db rollout 100\n" in idle
    assert run_montoit_db(activated, "rollout", "100", "--yes").code == 0
    assert run_montoit_db(activated, "status").code == 0


def test_after_a_rollback(activated: Database) -> None:
    Alembic(activated).succeeds("downgrade", "-1")
    told = run_montoit_db(activated, "status").out
    assert "RÉSULTAT DE L'ACTIVATION" not in told
    assert "NON CONFIGURÉS" not in told
    assert "Credentials InTouch : DÉSACTIVÉS (6/6 valeurs gardées)" in told
    assert told.endswith("Pour le rendre opérationnel : alembic upgrade head\n")


@pytest.mark.parametrize(
    ("damage", "remedy"),
    [
        ("update api_keys set is_active = false where key_name = 'password'", "montoit-db rotate"),
        ("update api_keys set is_active = false", "montoit-db rotate"),
        ("update feature_flags set credentials_status = 'not_configured'", "alembic upgrade intouch@head"),
        ("update feature_flags set is_enabled = false where key = 'wave_payment'", "alembic upgrade intouch@head"),
        ("delete from feature_flags where key = 'wave_payment'", "alembic upgrade intouch@head"),
        ("select montoit.switch_off('night')", "alembic upgrade head"),
    ],
)
def test_the_next_command_leads_out(database_at: Callable[[str], Database], damage: str, remedy: str) -> None:
    """Each command that meets the damage names the same remedy, none ends green, and the remedy mends it."""
    database = database_at("0008")
    database.execute(damage)
    status = run_montoit_db(database, "status")
    assert (status.code, status.out.splitlines()[-1]) == (1, f"Pour le rendre opérationnel : {remedy}")
    if remedy != "alembic upgrade head":
        assert remedy in Alembic(database).refuses("upgrade", "head")
        check = run_montoit_db(database, "check")
        assert check.code == 1
        assert f"Pour le rendre opérationnel : {remedy}" in check.out
    name, *arguments = remedy.split()
    if name == "alembic":
        Alembic(database).succeeds(*arguments)
    else:
        assert run_montoit_db(database, *arguments).code == 0
    assert run_montoit_db(database, "status").code == 0
