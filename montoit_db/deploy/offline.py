"""What `--sql` puts around the revisions: an honest header, one deployment at a time, an answer at the end."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from montoit_db.deploy.locks import LOCK_KEY
from montoit_db.deploy.revisions import VERSION_SCHEMA, Tree, listed, says
from montoit_db.deploy.words import Words, planned
from montoit_db.intouch.catalogue import SERVICES as SERVICES_OF_INTOUCH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

VERSIONS = f"{VERSION_SCHEMA}.alembic_version"

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
-- Envoyé d'un seul bloc (c'est ce que fait le SQL Editor), son texte va dans le journal du serveur à la moindre
-- erreur. Préférez donc :
--   - la page Vault de Supabase : créez-y intouch_<environnement>_<nom>, par exemple intouch_production_password,
--     pour les cinq noms, et laissez les YOUR_… : le script prend les valeurs dans le Vault ;
--   - ou des variables de psql : \\set password `cat fichier`, puis :'password' au lieu de la valeur entre '…'."""

# One result, since the SQL editor shows no more than the last one.
SERVICES = f"""\
select 1 as ordre, key as service, is_enabled as actif, credentials_status as environnement,
    rollout_percentage as part
from public.feature_flags
where key in ({", ".join(f"'{service.key}'" for service in SERVICES_OF_INTOUCH)})"""  # noqa: S608 -- our own keys
ADOPTED = """\
select 2 as ordre, table_name || ' : ' || told as service, null::boolean as actif,
    null as environnement, null::int as part
from montoit.adoption_steps where told is not null"""
UNFINISHED = """\
select 3 as ordre, 'À EXÉCUTER ENSUITE, SEUL : ' || statement as service, null::boolean as actif,
    null as environnement, null::int as part
from montoit.unfinished_logs() where is_large"""


@contextmanager
def framed(migration: MigrationContext) -> Iterator[None]:
    """Put the header before the transaction, and after it what the database then says.

    That is the state of the services, what was done to tables that were there, and what has to be run alone.
    """
    words = Words(migration, None)
    activation = words.tree.activation.revision
    steps = planned(migration)
    ups = {step.revision.revision: step.is_upgrade for step in steps}
    migration.impl.static_output(HEADER + ("\n" + HEADER_OF_VALUES if ups.get(activation) else ""))
    yield
    answers = [SERVICES] if activation in ups else []
    if any(step.is_upgrade and says(step.revision, "adopts_tables") for step in steps):
        answers.append(ADOPTED)
    if any(step.is_upgrade and says(step.revision, "runs_alone") for step in steps):
        answers.append(UNFINISHED)
    if answers:
        migration.impl.static_output("\nunion all\n".join(answers) + "\norder by 1, 2;")


def begin(migration: MigrationContext) -> None:
    """Start the transaction: alone, with bounded waits, and only from the revisions that the script is made for.

    The activation and the rollback may be run again: then the activation's own row does not matter, there or not.
    """
    words: Words = migration.opts["fn"]
    tree = words.tree
    start = migration.get_current_heads()
    activation = tree.activation.revision
    told = f"la révision {listed(start)}" if start else "une base sans révision"
    prelude = ""
    if not start:
        expected = "current is null"
        prelude = (
            f"    drop table if exists {VERSIONS};\n"
            f"    if to_regnamespace('{VERSION_SCHEMA}') is null then\n"
            f"        create schema {VERSION_SCHEMA};\n"
            "    end if;\n"
        )
    elif [step.revision.revision for step in planned(migration)] == [activation]:
        rows = sorted({*start, activation} if tree.has_schema_branch else {activation})
        without = sorted({*start} - {activation} or {tree.fork})
        expected = f"current in ('{listed(rows)}', '{listed(without)}')"
        if tree.has_schema_branch and words.verb == "upgrade":
            prelude = f"    delete from {VERSIONS} where version_num = '{activation}';\n"  # noqa: S608 -- a number
    else:
        expected = f"current = '{listed(start)}'"
    migration.impl.static_output(
        f"""\
set local client_min_messages = warning;
set local search_path = '';
set local lock_timeout = '5s';
select pg_advisory_xact_lock({LOCK_KEY});

do $$
declare
    current text;
begin
    if to_regclass('{VERSIONS}') is not null then
        select string_agg(version_num, ', ' order by version_num) into current from {VERSIONS};
    end if;
    if ({expected}) is not true then
        raise exception 'Ce script est fait pour {told}, la base est à % ; rien n''a été modifié.',
            coalesce('la révision ' || current, 'aucune révision');
    end if;
{prelude}end;
$$;"""  # noqa: S608 -- our own names and numbers
    )


def starting_revisions(config: Config, script: ScriptDirectory) -> Any:  # noqa: ANN401
    """Return the rows of the version table that a script starts from: `0008,0009:…`, or one of the lasting words.

    None where the command names none, or where a program calls Alembic. It is a list, which Alembic takes, though its
    types say a single revision.
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
