"""What `--sql` puts around the revisions: how to run the script, a lock, a check of the start, a result at the end."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from montoit_db.deploy import trust
from montoit_db.deploy.locks import LOCK_KEY
from montoit_db.deploy.revisions import VERSION_SCHEMA, Tree, declares, is_rollback, listed
from montoit_db.deploy.statements import KEEP_TRIGGERS, is_allowed
from montoit_db.deploy.words import Words, planned_steps
from montoit_db.intouch.catalogue import SERVICES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

OUTCOME = "resultat"  # a temporary table of the script's session
VERSION_TABLE = f"{VERSION_SCHEMA}.alembic_version"

HEADER = """\
-- Script de montoit_db, à exécuter en entier : une seule transaction, tout ou rien.
--
--   psql -v ON_ERROR_STOP=1 -f ce_fichier.sql     (sans ON_ERROR_STOP, psql continue après une erreur et finit par 0)
--   Supabase : SQL Editor, coller, Run            DBeaver : « Exécuter le script »
--
-- Il s'arrête sur une base qui n'est pas à la révision attendue, sans rien modifier."""

HEADER_OF_VALUES = """\
--
-- VALEURS : remplacez les cinq YOUR_… ci-dessous (une apostrophe s'écrit ''). Le script s'arrête s'il en reste.
-- Une fois rempli, ce fichier contient des secrets : ne l'enregistrez pas, ne l'envoyez pas, supprimez-le.
-- Son texte va dans le journal du serveur :
--   - envoyé d'un seul bloc (SQL Editor) : si log_statement = ddl, mod ou all, et à la moindre erreur ;
--   - par psql -f, instruction par instruction : si log_statement = all ;
--   - toujours : si pgaudit, auto_explain ou log_min_duration_statement notent les instructions.
-- Préférez donc :
--   - la page Vault de Supabase : créez-y intouch_<environnement>_<nom>, par exemple intouch_production_password,
--     pour les cinq noms, avec la description « InTouch, montoit_db » (sans elle, nous ne les tiendrons pas à jour), et
--     laissez les YOUR_… : le script prend les valeurs dans le Vault ;
--   - ou des variables de psql : \\set password `cat fichier`, puis :'password' au lieu de la valeur entre '…'."""

# Queries for one result together, since the SQL editor shows only the last result.
SERVICES_QUERY = f"""\
select 1 as ordre, key as service, is_enabled as actif, credentials_status as environnement,
    rollout_percentage as part
from public.feature_flags
where key in ({", ".join(f"'{service.key}'" for service in SERVICES)})"""  # noqa: S608 -- our own keys
ADOPTION_QUERY = """\
select 2 as ordre, table_name || ' : ' || told as service, null::boolean as actif,
    null as environnement, null::int as part
from montoit.adoption_steps where told is not null"""
UNFINISHED_QUERY = """\
select 3 as ordre, 'À EXÉCUTER ENSUITE, SEUL : ' || statement as service, null::boolean as actif,
    null as environnement, null::int as part
from montoit.unfinished_logs() where is_large"""


@contextmanager
def header_and_result(migration: MigrationContext) -> Iterator[None]:
    """Put the header before the transaction, and after it the outcome."""
    words = Words(migration, None)
    activation = words.tree.activation.revision
    is_upgrade = {step.revision.revision: step.is_upgrade for step in planned_steps(migration)}
    migration.impl.static_output(HEADER + ("\n" + HEADER_OF_VALUES if is_upgrade.get(activation) else ""))
    yield
    if outcome_queries(migration):
        # The last statement, since the SQL editor shows the last result only. It runs under the session's own path, and
        # so it computes nothing.
        migration.impl.static_output(f"select * from pg_temp.{OUTCOME} order by 1, 2;")  # noqa: S608 -- our own name


def outcome_queries(migration: MigrationContext) -> list[str]:
    """Return the queries of the outcome: the services, what an adoption did, and what is left to be run alone."""
    activation = Tree(migration.opts["script"]).activation.revision
    steps = planned_steps(migration)
    queries = [SERVICES_QUERY] if activation in {step.revision.revision for step in steps} else []
    if any(step.is_upgrade and declares(step.revision, "adopts_tables") for step in steps):
        queries.append(ADOPTION_QUERY)
    if any(step.is_upgrade and declares(step.revision, "runs_alone") for step in steps):
        queries.append(UNFINISHED_QUERY)
    return queries


def end(migration: MigrationContext) -> None:
    """Look for strangers again, and keep the outcome in a temporary table, while the path is empty.

    No object that may be dropped is needed later.
    """
    migration.impl.static_output(_strangers_refused(migration))
    queries = outcome_queries(migration)
    if queries:
        rows = "\nunion all\n".join(queries)
        migration.impl.static_output(
            f"drop table if exists pg_temp.{OUTCOME};\ncreate temporary table {OUTCOME} as\n{rows};"
        )


def begin(migration: MigrationContext) -> None:
    """Start the transaction: under the deployments' lock, and only at the revisions that the script is made for.

    A script of the activation alone, or of the rollback alone, may be run again: it starts with or without the
    activation's row in the version table.
    """
    words: Words = migration.opts["fn"]
    tree = words.tree
    start = migration.get_current_heads()
    activation = tree.activation.revision
    start_in_french = f"la révision {listed(start)}" if start else "une base sans révision"
    prelude = ""
    if not start:
        expected = "current is null"
        prelude = (
            f"    drop table if exists {VERSION_TABLE};\n"
            f"    if to_regnamespace('{VERSION_SCHEMA}') is null then\n"
            f"        create schema {VERSION_SCHEMA};\n"
            "    end if;\n"
        )
    elif [step.revision.revision for step in planned_steps(migration)] == [activation]:
        rows_on = sorted({*start, activation} if tree.has_schema_branch else {activation})
        rows_off = sorted({*start} - {activation} or {tree.fork})
        expected = f"current in ('{listed(rows_on)}', '{listed(rows_off)}')"
        if tree.has_schema_branch and words.verb == "upgrade":
            prelude = f"    delete from {VERSION_TABLE} where version_num = '{activation}';\n"  # noqa: S608 -- a number
    else:
        expected = f"current = '{listed(start)}'"
    migration.impl.static_output(
        f"""\
set local client_min_messages = warning;
set local search_path = '';
set local lock_timeout = '5s';
select pg_advisory_xact_lock({LOCK_KEY});

{_strangers_refused(migration)}

do $$
declare
    current text;
begin
    if to_regclass('{VERSION_TABLE}') is not null then
        select string_agg(version_num, ', ' order by version_num) into current from {VERSION_TABLE};
    end if;
    if ({expected}) is not true then
        raise exception 'Ce script est fait pour {start_in_french}, la base est à % ; rien n''a été modifié.',
            coalesce('la révision ' || current, 'aucune révision');
    end if;
{prelude}end;
$$;"""  # noqa: S608 -- our own names and numbers
    )


def _strangers_refused(migration: MigrationContext) -> str:
    command, destination = migration.opts["fn"].verb, migration.opts.get("destination_rev")
    scopes = trust.refused_by(
        command, is_rollback=is_rollback(command, destination), keep_triggers=is_allowed(KEEP_TRIGGERS)
    )
    return trust.script_check(scopes)


def starting_revisions(config: Config, script: ScriptDirectory) -> Any:  # noqa: ANN401
    """Return the rows of the version table that a script starts from: `0008,0009:…`, or one of the lasting words.

    None if the command names no start, or if a program calls Alembic. Alembic takes a list here, though its types ask
    for a single revision.
    """
    start, separator, _ = str(getattr(config.cmd_opts, "revision", "")).partition(":")
    if not separator:
        return None
    tree = Tree(script)
    match start:
        case "schema@head" | "schema@heads":
            return [tree.schema_head]
        case "head" | "heads" | "intouch@head" | "intouch@heads":
            return [tree.activation.revision, *([tree.schema_head] if tree.has_schema_branch else [])]
        case _:
            return start.split(",")
