"""Nobody else acts as us: what bears our names, and what we read, belongs to somebody whom we trust.

Trusted owners are the role that we run as, superusers, and the database's owner. A view, a trigger or a function of
anybody else would run with our rights, and a table's row security policies run as whoever reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from montoit_db.deploy.findings import Finding
from montoit_db.deploy.queries import fetch_all, read_query
from montoit_db.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

# Whom an object stops, as sql/strangers.sql says it.
OF_A_ROLLBACK = ("every command",)
EVERY_COMMAND = (*OF_A_ROLLBACK, "every command but a rollback")
WRITING = (*EVERY_COMMAND, "upgrade without keep-triggers")  # rotate, rollout, purge: they have no such permission
UPGRADE = (*WRITING[:-1], "upgrade", WRITING[-1])

_REFUSAL = (
    "Refusé, rien n'a été modifié par cette étape. Ce qui suit n'appartient ni au rôle de connexion, ni à un "
    "superutilisateur, ni au propriétaire de la base, et s'exécuterait avec vos droits :"
)


class Stranger(NamedTuple):
    """An object that we do not trust: its kind, name and owner in French, what to do about it, and whom it stops."""

    what: str
    remedy: str
    scope: str


def refused_by(command: str, *, is_rollback: bool, keep_triggers: bool) -> tuple[str, ...]:
    """Return whose objects stop this command of Alembic's.

    A rollback is stopped only by what it would read or run itself.
    """
    if is_rollback:
        return OF_A_ROLLBACK
    if command != "upgrade":
        return EVERY_COMMAND
    return UPGRADE[:-1] if keep_triggers else UPGRADE


def strangers(connection: Connection, scopes: tuple[str, ...] = UPGRADE) -> list[Stranger]:
    """Return what stops these commands; only the catalog is read, so that nothing of a stranger's runs."""
    return [
        stranger
        for stranger in map(Stranger._make, fetch_all(connection, read_query("strangers")))
        if stranger.scope in scopes
    ]


def refuse_strangers(connection: Connection, scopes: tuple[str, ...] = EVERY_COMMAND) -> None:
    """Stop before anything is read or written that a stranger owns.

    Raises:
        RefusedError: naming each object, its owner and the remedy.

    """
    found = strangers(connection, scopes)
    if found:
        raise RefusedError("\n".join([_REFUSAL, *(f"  - {row.what}\n    {row.remedy}" for row in found)]))


def script_check(scopes: tuple[str, ...]) -> str:
    """Return the same check as a statement for a script."""
    wanted = ", ".join(f"'{scope}'" for scope in scopes)
    refusal = _REFUSAL.replace("'", "''")
    return f"""\
do $$
declare
    told text;
begin
    select string_agg(format(e'  - %s\\n    %s', what, remedy), e'\\n') into told
    from (
{read_query("strangers")}    ) as strangers
    where scope in ({wanted});
    if told is not null then
        raise exception using message = e'{refusal}\\n' || told;
    end if;
end;
$$;"""  # noqa: S608 -- our own words


def is_trusted_table(connection: Connection, name: str) -> bool:
    """Tell whether a relation of `public` may be read with our rights: a plain table of an owner whom we trust.

    The database has the same rule as montoit.is_trusted_table(), once the first revision is applied.
    """
    return bool(connection.exec_driver_sql(_IS_TRUSTED_TABLE, {"name": name}).scalar_one())


_IS_TRUSTED_TABLE = """
select exists (
    select from pg_class
    join pg_namespace on pg_namespace.oid = relnamespace
    join pg_roles on pg_roles.oid = relowner
    where nspname = 'public' and relname = %(name)s and relkind in ('r', 'p') and (
        rolsuper or rolname = current_user
        or relowner = (select datdba from pg_database where datname = current_database())
    )
)
"""


def owners(found: Sequence[Stranger]) -> Iterator[Finding]:
    """Say what belongs to somebody whom we do not trust."""
    for stranger in found:
        subject = "Déclencheurs" if stranger.scope == UPGRADE[-1] else "Propriétaires"
        yield Finding(subject, "problem", stranger.what, stranger.remedy)
    if not found:
        yield Finding("Propriétaires", "ok", "aucun objet de nos noms n'appartient à un autre")


def accesses(connection: Connection, *, adopts: bool) -> Iterator[Finding]:
    """Say who else may act as a role of the API's, sees our rows change, or reads api_keys past its policies.

    `adopts`: the next upgrade ends the grants that the platform gave.
    """
    (access,) = fetch_all(connection, read_query("access"))
    if access.members:
        yield Finding(
            "Rôles",
            "warning",
            f"peuvent agir comme un rôle de l'API : {access.members}",
            "Si personne n'en a besoin : revoke … from …;",
        )
    if access.triggers and not adopts:
        yield Finding("Déclencheurs", "ok", f"gardés sur nos tables : {access.triggers}")
    if access.given_on and adopts:
        yield Finding(
            "Droits", "problem", f"donnés plus loin, la reprise ne peut les retirer : {access.given_on}", access.revokes
        )
    readers = ", ".join(row.reader for row in fetch_all(connection, read_query("api_keys_readers")))
    if readers:
        yield Finding(
            "api_keys",
            "warning",
            f"lue sans passer par ses règles (policies) : {readers}",
            "Si personne n'en a besoin : revoke execute on function … from public, anon, authenticated; "
            "alter view … set (security_invoker = true); alter publication … drop table public.api_keys;",
        )


def server_rights(connection: Connection) -> Iterator[Finding]:
    """Say what this server or role does not let a deployment do: write, or open two connections."""
    read_only, limited = connection.exec_driver_sql(_SERVER_RIGHTS, execution_options={"no_parameters": True}).one()
    if read_only:
        yield Finding(
            "Serveur", "problem", f"en lecture seule ({read_only})", "Connectez-vous au serveur principal, en écriture."
        )
    if limited:
        yield Finding(
            "Droits",
            "problem",
            f"une seule connexion permise à {limited}, et un déploiement en ouvre deux",
            f"Un administrateur doit exécuter : alter {limited} connection limit 5;",
        )


# Limits do not bind superusers.
_SERVER_RIGHTS = """
select
    case when pg_is_in_recovery() then 'serveur de secours'
        when current_setting('default_transaction_read_only')::boolean then 'default_transaction_read_only' end,
    case when rolsuper then null when rolconnlimit = 1 then format('role %I', rolname)
        when datconnlimit = 1 then format('database %I', datname) end
from pg_roles, pg_database
where rolname = current_user and datname = current_database()
"""
