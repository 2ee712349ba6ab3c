"""What `--sql` puts around the revisions: an honest header, one deployment at a time, an answer at the end."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from montoit_db.adoption import REVISIONS
from montoit_db.deployment import LOCK_KEY, plan
from montoit_db.intouch.report import ACTIVATION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.runtime.migration import MigrationContext

BEFORE_ACTIVATION = "0007"
INDEXES = "0006"

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
SERVICES = """\
select 1 as ordre, key as service, is_enabled as actif, credentials_status as environnement,
    rollout_percentage as part
from public.feature_flags
where key in (
    'intouch_payment', 'orange_money', 'mtn_money', 'moov_money', 'wave_payment',
    'sms_notifications', 'whatsapp_notifications'
)"""
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
    ups = {step.revision.revision: step.is_upgrade for step in plan(migration)}
    migration.impl.static_output(HEADER + ("\n" + HEADER_OF_VALUES if ups.get(ACTIVATION) else ""))
    yield
    answers = [SERVICES] if ACTIVATION in ups else []
    if any(ups.get(revision) for revision in REVISIONS):
        answers.append(ADOPTED)
    if ups.get(INDEXES):
        answers.append(UNFINISHED)
    if answers:
        migration.impl.static_output("\nunion all\n".join(answers) + "\norder by 1, 2;")


def begin(migration: MigrationContext) -> None:
    """Start the transaction: alone, with bounded waits, and only from the revision that the script is made for."""
    start = migration.get_current_revision()
    if start is None:
        expected, told = "current is null", "une base sans révision"
    elif {step.revision.revision for step in plan(migration)} == {ACTIVATION}:
        # The activation and the rollback may be run again.
        expected, told = f"current in ('{BEFORE_ACTIVATION}', '{ACTIVATION}')", f"la révision {start}"
    else:
        expected, told = f"current = '{start}'", f"la révision {start}"
    drop = "drop table if exists public.alembic_version;" if start is None else ""
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
    if to_regclass('public.alembic_version') is not null then
        select string_agg(version_num, ', ') into current from public.alembic_version;
    end if;
    if ({expected}) is not true then
        raise exception 'Ce script est fait pour {told}, la base est à % ; rien n''a été modifié.',
            coalesce('la révision ' || current, 'aucune révision');
    end if;
    {drop}
end;
$$;"""  # noqa: S608 -- our own names and numbers
    )
