"""Whether InTouch does what the database says: what InTouch answers, and what the platform's functions leave behind."""

from __future__ import annotations

import re
from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, TypeVar

from psycopg.errors import InsufficientPrivilege, LockNotAvailable, QueryCanceled
from sqlalchemy.exc import DBAPIError

from montoit_db.deploy.findings import Finding
from montoit_db.deploy.trust import is_trusted_table
from montoit_db.intouch.catalogue import CREDENTIALS, host_of, is_intouchs
from montoit_db.intouch.state import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from montoit_db.intouch.api import Answer
    from montoit_db.settings import InTouchSettings

_T = TypeVar("_T")

_AGENCY = re.compile(r"https://[^/]+(/[^/]+)*/(apidist/sec|v1)/(?!YOUR_)[\w.-]+/?")
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}
_VARIABLES = {credential.key_name: credential.variable for credential in CREDENTIALS}
_ONLY = (
    "(InTouch ne nomme pas la monnaie.) Cela ne prouve ni les SMS, ni WhatsApp, ni un mot de passe propre à un "
    "opérateur"
)


def agency(settings: InTouchSettings) -> Iterator[Finding]:
    """Warn of a base URL that the Edge Functions cannot use: they append an operation's name to it, and no agency."""
    if not _AGENCY.fullmatch(settings.base_url):
        problem = (
            "INTOUCH_BASE_URL ne porte pas le code d'agence : les Edge Functions y ajoutent le nom d'une opération"
        )
    elif not settings.base_url.endswith("/"):
        problem = "INTOUCH_BASE_URL ne finit pas par / : les Edge Functions y ajoutent le nom d'une opération"
    else:
        return
    remedy = (
        "Attendu : https://apidist.gutouch.net/apidist/sec/<agence>/, où <agence> est le code qu'InTouch vous a donné."
    )
    yield Finding("Agence", "warning", problem, remedy)


def ask(settings: InTouchSettings, least: int | None = None) -> Finding:
    """Ask InTouch for the balance with the settings' credentials; a balance below `least` (FCFA) is a problem.

    The credentials go to a host of InTouch's, or to this machine, where a stand-in may answer; to no other. A missing
    extra `intouch` is a problem, too.
    """
    if not _AGENCY.fullmatch(settings.base_url):
        return Finding(
            "InTouch",
            "problem",
            "la question n'est pas posée : sans code d'agence elle n'a pas d'adresse",
            "Complétez INTOUCH_BASE_URL : https://apidist.gutouch.net/apidist/sec/<agence>/",
        )
    host = host_of(settings.base_url)
    if not is_intouchs(host) and host not in _THIS_MACHINE:
        return Finding(
            "InTouch",
            "problem",
            f"la question n'est pas posée : {host} n'est pas un hôte d'InTouch, et recevrait les credentials",
            "Corrigez INTOUCH_BASE_URL : https://apidist.gutouch.net/apidist/sec/<agence>/",
        )
    try:
        from montoit_db.intouch import api  # noqa: PLC0415 -- an extra, and slow to import
    except ModuleNotFoundError as error:
        return Finding(
            "InTouch",
            "problem",
            f"la question n'est pas posée : --intouch a besoin de {error.name}",
            "Installez-le : pip install 'httpx>=0.28,<1'",
        )
    return as_finding(api.get_balance(settings.credentials), least)


def as_finding(answer: Answer, least: int | None) -> Finding:
    """Say what InTouch's answer allows to say; all that is not a yes is a problem."""
    status = "" if answer.status is None else f" (statut {answer.status})"
    words = f" « {answer.words} »" if answer.words else ""
    match answer.outcome:
        case "accepted" if answer.balance is not None:
            balance = f"les six credentials sont acceptés ; solde : {_amount(answer.balance)}"
            if least is not None and answer.balance < least:
                remedy = "Approvisionnez le compte partenaire auprès d'InTouch."
                return Finding("InTouch", "problem", f"{balance}, moins que {_amount(least)}", remedy)
            return Finding("InTouch", "ok", f"{balance} {_ONLY}")
        case "refused":
            *others, last = (_VARIABLES[name] for name in answer.suspects)
            suspects = f"{', '.join(others)} ou {last}"
            remedy = "Comparez avec ce qu'InTouch vous a envoyé, ou demandez : support@gutouch.com"
            return Finding("InTouch", "problem", f"refusé{status} : {suspects}.{words}", remedy)
        case "unreachable":
            return Finding(
                "InTouch", "problem", f"injoignable : {answer.reason}", "Vérifiez INTOUCH_BASE_URL et le réseau."
            )
    reason = f" : {answer.reason}" if answer.reason else f", une réponse qui ne se lit pas.{words}"
    remedy = (
        "Les credentials ne sont ni acceptés ni refusés. Vérifiez INTOUCH_BASE_URL, agence comprise, puis réessayez."
    )
    return Finding("InTouch", "problem", f"inconnu{status}{reason}", remedy)


def _amount(value: Decimal | int) -> str:
    """Return an amount with at most two decimals, rounded down; InTouch names no currency."""
    shown = f"{Decimal(value).quantize(Decimal('0.01'), ROUND_DOWN):,f}".removesuffix(".00")
    return shown.replace(",", "\N{NARROW NO-BREAK SPACE}").replace(".", ",") + "\N{NO-BREAK SPACE}FCFA"


# Those tables of which we see every row, and which have rows of their own; whose they are is asked of trust.
_READABLE = """
select relname, exists (
    select from pg_catalog.pg_attribute
    where attrelid = c.oid and attname = 'intouch_request' and atttypid = 'jsonb'::regtype
)
from pg_catalog.pg_class as c
where relnamespace = to_regnamespace('public') and relname = any (%(names)s) and relkind = 'r'
  and has_table_privilege(c.oid, 'select') and not row_security_active(c.oid)
order by relname
"""
_PAYMENTS = ("mobile_money_transactions", "payments")
# With row_security off, a role that may not see every row gets an error, and not a log that looks empty.
_IS_THERE = "select set_config('row_security', 'off', true) = 'off' and to_regclass('public.payment_logs') is not null"
_HAS_PAYMENTS = "select exists (select 1 from public.payment_logs)"  # Citus refuses an empty list
_HOLDS_ROWS = "select exists (select from only public.{})"
_KEYS = "array['login_api', 'password_api']"
_HELD = f"jsonb_typeof(intouch_request) = 'object' and intouch_request ?| {_KEYS}"
_TABLE = "public.mobile_money_transactions"
_IN_CLEAR = f"select exists (select from only {_TABLE} where {_HELD})"  # noqa: S608 -- our own words, as below
REMOVE_SECRETS = f"update {_TABLE} set intouch_request = intouch_request - {_KEYS} where {_HELD};"  # noqa: S608


def left_behind(connection: Connection) -> Iterator[Finding]:
    """Warn of what the platform's functions do, or do not do, as far as its tables show it."""
    for silent in silence(connection):
        yield Finding("Silence", "warning", silent, "Ce que les fonctions doivent écrire : docs/EDGE_FUNCTIONS.md.")
    if _readable(connection).get("mobile_money_transactions"):
        in_clear = _answered(connection, _IN_CLEAR)
        if in_clear is None:
            yield Finding("Secrets en clair", "warning", f"{_TABLE} n'a pas pu être lue à temps : relancez plus tard")
        elif in_clear:
            yield Finding(
                "Secrets en clair",
                "warning",
                f"{_TABLE} garde login_api ou password_api dans intouch_request : qui lit la table les lit",
                f"À exécuter vous-même, quand la fonction de paiement ne les écrit plus : {REMOVE_SECRETS} "
                "Puis demandez-en d'autres à InTouch, et : montoit-db rotate",
            )


def silence(connection: Connection) -> list[str]:
    """Return a warning if InTouch is on and payments are made, and none of them is in `payment_logs`; else nothing."""
    if not _answered(connection, _IS_THERE):
        return []
    if _answered(connection, _HAS_PAYMENTS) is not False:
        return []
    state = _attempt(connection, read)
    if state is None or not state.active_services:
        return []
    made = [table for table in _readable(connection) if _answered(connection, _HOLDS_ROWS.format(table))]
    if not made:
        return []
    told = (
        f"payment_logs est vide, et {' et '.join(made)} ne l'est pas : les Edge Functions paient sans l'écrire. "
        "Zéro n'y veut pas dire aucun paiement"
    )
    return [told]


def _readable(connection: Connection) -> dict[str, bool]:
    """Return the platform's tables of payments that may be read; the value: it has a column `intouch_request`."""
    rows = connection.exec_driver_sql(_READABLE, {"names": [*_PAYMENTS]})
    return {row[0]: row[1] for row in rows.all() if is_trusted_table(connection, row[0])}


def _answered(connection: Connection, sql: str) -> bool | None:
    """Return the answer to a question; None as `_attempt` says."""
    options = {"no_parameters": True}
    return _attempt(connection, lambda asked: bool(asked.exec_driver_sql(sql, execution_options=options).scalar_one()))


def _attempt(connection: Connection, question: Callable[[Connection], _T]) -> _T | None:
    """Return what is read; None if a lock, a table's size or a missing right kept it, which is no reason to fail."""
    try:
        with connection.begin_nested():
            return question(connection)
    except DBAPIError as error:
        if isinstance(error.orig, (LockNotAvailable, QueryCanceled, InsufficientPrivilege)):
            return None
        raise
