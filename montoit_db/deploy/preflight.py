"""`montoit-db check`: what would stop a deployment, found without writing anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.errors import LockNotAvailable, QueryCanceled
from sqlalchemy.exc import DBAPIError

from montoit_db import database
from montoit_db.deploy import adoption, drift, exposure, locks, trust
from montoit_db.deploy.findings import Finding
from montoit_db.deploy.rehearsal import LEFT_OUT, Order, rehearse
from montoit_db.deploy.revisions import Tree, revision_state, script_directory
from montoit_db.deploy.statements import has_vault
from montoit_db.errors import MontoitError, SettingsError, UnreachableError
from montoit_db.intouch import credentials, evidence
from montoit_db.intouch.catalogue import TABLES
from montoit_db.intouch.state import InTouchState, read
from montoit_db.settings import DatabaseSettings, DeploymentSettings, InTouchSettings, ordered_environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import URL, Connection, Engine

OLDEST_SERVER = 150000
OLD_TRANSACTION = 60  # seconds after which a transaction is reported


def look(
    *,
    schema_only: bool = False,
    ask_intouch: bool = False,
    min_balance: int | None = None,
    orders: Sequence[Order] = (),
) -> list[Finding]:
    """Look at everything that a deployment needs, and return what was found, good and bad.

    With `schema_only` the deployment stops before the activation, and needs no credentials. With `ask_intouch` InTouch
    is asked for its balance, which should be `min_balance` FCFA at least. `orders` are rehearsed, one after the
    other, in a transaction that is rolled back.
    """
    findings, intouch, bounds = _settings(schema_only=schema_only)
    if intouch is not None:
        findings += [exposure.host(intouch), *evidence.agency(intouch)]
        if ask_intouch:
            findings.append(evidence.ask(intouch, min_balance))
    try:
        target = DatabaseSettings.from_environment()
    except SettingsError:
        return findings
    try:
        with database.located(target) as url:
            with database.connect_to(engine := database.bounded(database.make_engine(url), bounds)) as connection:
                findings += [_tls(connection), _pooler(connection, engine)]
                connection.exec_driver_sql("set transaction read only")
                for finding in _database(connection, intouch, schema_only=schema_only):
                    findings.append(finding)
            if orders:
                is_green = {finding.level for finding in findings} <= {"ok", "warning"}
                findings.append(_rehearsal(url, orders, bounds, intouch, is_green=is_green))
    except DBAPIError as error:
        if isinstance(error.orig, (LockNotAvailable, QueryCanceled)):
            with database.connect(target, bounds, is_second=True) as connection:
                findings.append(Finding("Verrous", "problem", locks.who_blocks(connection)))
            return findings
        remedy = "Connectez-vous avec le propriétaire des tables (sur Supabase : postgres)."
        findings.append(Finding("Droits", "problem", database.message(error), remedy))
    except UnreachableError as error:
        message, _, remedy = str(error).rpartition("\n")
        findings.append(Finding("Connexion", "unreachable", message, remedy))
    except SettingsError as error:
        findings += [Finding("Réglages", "settings", problem) for problem in error.problems]
    return findings


def _settings(*, schema_only: bool) -> tuple[list[Finding], InTouchSettings | None, DeploymentSettings]:
    """Read every group of settings, and go on after the first that is refused, with the usual waits."""
    problems: dict[str, None] = {}  # two groups read INTOUCH_ENVIRONMENT
    intouch = None
    bounds = DeploymentSettings()
    for group in (DatabaseSettings, DeploymentSettings, InTouchSettings)[: 2 if schema_only else 3]:
        try:
            values = group.from_environment()
        except SettingsError as error:
            problems.update(dict.fromkeys(error.problems))
        else:
            if isinstance(values, InTouchSettings):
                intouch = values
            elif isinstance(values, DeploymentSettings):
                bounds = values
    findings = [Finding("Réglages", "settings", problem) for problem in problems]
    findings = findings or [Finding("Réglages", "ok", "complets")]
    return [*findings, *exposure.environment()], intouch, bounds


def _database(connection: Connection, intouch: InTouchSettings | None, *, schema_only: bool) -> Iterator[Finding]:
    raw: Any = connection.connection.driver_connection
    version = raw.info.server_version
    if version < OLDEST_SERVER:
        yield Finding("Serveur", "problem", f"PostgreSQL {version // 10000}", "Il faut PostgreSQL 15 ou plus récent.")
    else:
        yield Finding("Serveur", "ok", f"PostgreSQL {version // 10000}")
    yield from trust.server_rights(connection)
    strangers = trust.strangers(connection)
    yield from trust.owners(strangers)
    if any(stranger.scope in trust.EVERY_COMMAND for stranger in strangers):
        return  # what follows reads tables
    yield _vault(connection, intouch)
    yield from exposure.audit(connection)
    yield from _rights(connection)
    yield from _path(connection)
    state = read(connection)
    yield from trust.accesses(connection, adopts=not state.revisions)
    if not state.revisions:
        yield from _adoption(connection)
    yield _revisions(state)
    if state.revisions:
        yield from _drift(connection)
    if not schema_only:
        yield from _order(state)
    yield from _others(connection)
    if intouch is not None and state.environment == intouch.environment:
        differing = credentials.differing(connection, intouch)
        if differing:
            yield Finding(
                "Credentials",
                "problem",
                f"l'environnement diffère de la base : {', '.join(differing)}",
                "Pour les enregistrer sans couper les services : montoit-db rotate",
            )
    yield from evidence.left_behind(connection)


def _tls(connection: Connection) -> Finding:
    """Say how the connection is protected; what is in force is libpq's to tell, whoever asked for it."""
    raw: Any = connection.connection.driver_connection
    is_local, mode, is_encrypted = database.protection(raw.pgconn)
    if is_local:
        return Finding("TLS", "ok", "connexion locale (socket ou boucle locale)")
    if mode == database.VERIFIED:
        return Finding("TLS", "ok", f"{mode} : la connexion est chiffrée, et le serveur vérifié")
    if not is_encrypted:
        told = "le mot de passe, les requêtes et les credentials passent en clair"
    elif mode == "verify-ca":
        told = "la connexion est chiffrée, mais le nom du serveur n'est pas vérifié"
    else:
        told = "la connexion est chiffrée, mais le serveur n'est pas vérifié : un autre peut se faire passer pour lui"
    return Finding(
        "TLS",
        "warning",
        f"sslmode={mode} : {told}",
        "Dans DATABASE_URL : sslmode=verify-full&sslrootcert=<certificat de l'autorité> (« TLS », docs/GUIDE.fr.md).",
    )


def _pooler(connection: Connection, engine: Engine) -> Finding:
    """Recognise a pooler: the process number that it gives to its client is not that of a server process."""
    raw: Any = connection.connection.driver_connection
    if _backend(connection) == raw.info.backend_pid:
        return Finding("Pooler", "ok", "connexion directe")
    try:
        with database.connect_to(engine) as other:
            transactional = _shares_a_server_connection(connection, other)
    except UnreachableError as error:
        remedy = (
            "Un déploiement a besoin de deux connexions à la fois : agrandissez le pool, ou connectez-vous en direct."
        )
        return Finding(
            "Pooler", "problem", f"n'accorde pas une deuxième connexion ({error.args[0].splitlines()[0]})", remedy
        )
    if transactional and raw.prepare_threshold is not None:
        return Finding(
            "Pooler",
            "problem",
            "la connexion passe par un pooler en mode transaction, et DATABASE_URL ne le dit pas",
            "Ajoutez ?pgbouncer=true à DATABASE_URL (le port 6543 suffit aussi).",
        )
    return Finding("Pooler", "ok", "mode transaction" if transactional else "mode session")


def _shares_a_server_connection(one: Connection, other: Connection) -> bool:
    """Tell whether a pooler gives a client a server connection for a transaction only, and not for its session.

    In session mode each client keeps one server process. In transaction mode both clients meet the same one, or, if the
    free ones take turns, a client meets several, since the order in which the two ask changes.
    """
    processes: dict[Connection, set[int]] = {one: set(), other: set()}
    for connection in (one, other, other, one, one, other):
        processes[connection].add(_backend(connection))
    return len(processes[one]) > 1 or processes[one] == processes[other]


def _backend(connection: Connection) -> int:
    """Return the number of the server's process that a transaction ran on."""
    pid = int(connection.exec_driver_sql("select pg_backend_pid()").scalar_one())
    connection.rollback()
    return pid


def _vault(connection: Connection, intouch: InTouchSettings | None) -> Finding:
    installed = has_vault(connection)
    if intouch is not None and intouch.credential_store == "vault" and not installed:
        return Finding(
            "Vault", "settings", "demandé, et absent de cette base", "Installez supabase_vault, ou choisissez table."
        )
    store = intouch.credential_store if intouch else "auto"
    destination = "le Vault" if installed and store != "table" else "la table api_keys"
    if not installed and connection.exec_driver_sql(_VAULT_SCHEMA).scalar_one():
        return Finding(
            "Vault",
            "warning",
            "un schéma vault est là, mais ce n'est pas celui de l'extension supabase_vault ; les valeurs iront dans la "
            "table api_keys",
            "Regardez qui l'a créé ; pour avoir le Vault, installez supabase_vault.",
        )
    if (
        installed
        and store != "table"
        and (names := connection.exec_driver_sql(_OTHERS_SECRETS, execution_options={"no_parameters": True}).scalar())
    ):
        return Finding(
            "Vault",
            "warning",
            f"des secrets de nos noms n'y sont pas de nous : {names}. Jamais modifiés, ils servent s'ils ont la bonne "
            "valeur ; sinon l'activation s'arrête",
            "Renommez-les, ou donnez-leur la description « InTouch, montoit_db », pour que nous les tenions à jour.",
        )
    return Finding("Vault", "ok", f"{'installé' if installed else 'absent'} ; les valeurs iront dans {destination}")


_VAULT_SCHEMA = "select exists (select from pg_namespace where nspname = 'vault')"
_OTHERS_SECRETS = r"""
select string_agg(name, ', ' order by name) from vault.secrets
where name like 'intouch\_%' and description is distinct from 'InTouch, montoit_db'
"""
_RIGHTS = """
select
    current_user,
    has_database_privilege(current_database(), 'create') or to_regnamespace('montoit') is not null,
    has_schema_privilege('public', 'create'),
    (select array_agg(r) from unnest(array['anon', 'authenticated', 'service_role']) as r, pg_roles as ours
     where ours.rolname = current_user and not exists (select from pg_roles where rolname = r)
       -- Before PostgreSQL 16 only a superuser gives bypassrls.
       and not (ours.rolsuper or ours.rolcreaterole and (r <> 'service_role' or ours.rolbypassrls
                                                         and current_setting('server_version_num')::int >= 160000))),
    (select array_agg(name order by name) from (
         select replace(c.oid::regclass::text, 'public.', '') as name from pg_class as c
         where (c.relnamespace = 'public'::regnamespace and c.relname = any(%(tables)s)
                or c.oid = to_regclass('montoit.alembic_version'))
           and not pg_has_role(c.relowner, 'usage')
         union all
         select replace(p.oid::regprocedure::text, 'public.', '') from pg_proc as p
         where p.pronamespace = 'public'::regnamespace and p.proname = any(%(functions)s)
           and not pg_has_role(p.proowner, 'usage')
     ) as others)
"""


def _rights(connection: Connection) -> Iterator[Finding]:
    names = {"tables": [*TABLES], "functions": [*adoption.FUNCTIONS]}
    row = connection.exec_driver_sql(_RIGHTS, names).one()
    role, may_create_schema, may_create_tables, missing_roles, others = row
    problems = [
        (may_create_schema, "créer le schéma montoit", "grant create on database … to"),
        (may_create_tables, "créer des tables dans public", "grant create on schema public to"),
    ]
    has_problem = False
    for allowed, what, grant in problems:
        if not allowed:
            has_problem = True
            yield Finding(
                "Droits", "problem", f"{role} ne peut pas {what}", f"Un administrateur doit exécuter : {grant} {role};"
            )
    if others:
        has_problem = True
        yield Finding(
            "Droits",
            "problem",
            f"{role} n'est pas propriétaire de {', '.join(others)}",
            "Connectez-vous avec le propriétaire (sur Supabase : postgres).",
        )
    if missing_roles:
        has_problem = True
        yield Finding(
            "Rôles",
            "problem",
            f"{', '.join(missing_roles)} : absents, et {role} ne peut pas les créer",
            "Un administrateur doit exécuter : "
            + " ".join(
                f"create role {name} nologin noinherit{' bypassrls' if name == 'service_role' else ''};"
                for name in missing_roles
            ),
        )
    if not has_problem:
        yield Finding("Droits", "ok", f"{role} a ceux qu'il faut")


_PATH = """
select
    (select reset_val from pg_settings where name = 'search_path'),
    (select string_agg(distinct case grantee when 0 then 'public' else grantee::regrole::text end, ', ')
     from pg_namespace, aclexplode(nspacl)
     where nspname = 'public' and privilege_type = 'CREATE' and grantee <> nspowner
       and grantee <> (select oid from pg_roles where rolname = current_user)),
    (select string_agg(format('%I', tgname), ', ' order by tgname)
     from pg_trigger join pg_proc on pg_proc.oid = tgfoid
     where tgrelid = to_regclass('public.feature_flag_history') and not tgisinternal
       and pronamespace is distinct from to_regnamespace('montoit')
       and not coalesce(proconfig::text like '%search_path%', false))
"""


def _path(connection: Connection) -> Iterator[Finding]:
    """Say who could plant a function or an operator that other sessions of this role would find."""
    path, creators, triggers = connection.exec_driver_sql(_PATH, execution_options={"no_parameters": True}).one()
    schemas = [schema.strip().strip('"') for schema in (path or "").split(",")]
    if "pg_catalog" in schemas[1:]:
        yield Finding(
            "Chemin",
            "problem",
            f"search_path de ce rôle : {path}. pg_catalog n'y est pas le premier : les objets des autres passent avant",
            "Retirez pg_catalog du chemin : alter role … set search_path = public;",
        )
    if creators:
        yield Finding(
            "Chemin",
            "warning",
            f"peuvent créer des objets dans public : {creators}. Nos commandes les ignorent, d'autres sessions non",
            "Si personne n'en a besoin : revoke create on schema public from …;",
        )
    if triggers:
        yield Finding(
            "Déclencheurs",
            "warning",
            f"sur feature_flag_history : {triggers}. L'historique s'écrit avec un chemin vide : leurs fonctions "
            "doivent nommer le schéma de chaque objet",
            "Ajoutez public. devant les noms, ou : alter function … set search_path = public;",
        )


def _adoption(connection: Connection) -> Iterator[Finding]:
    """Say what the upgrade will do to each table that is there already."""
    different = [table for table in adoption.existing_tables(connection) if table.differences is not None]
    if different:
        yield Finding(
            "Reprise",
            "problem",
            "ces tables ne sont pas celles de la plateforme : "
            + " ; ".join(f"{table.name} ({table.differences})" for table in different),
            "Renommez-les, ou choisissez une autre base.",
        )
        return
    for table, steps in adoption.planned(connection).items():
        yield Finding("Reprise", "ok", "\n   - ".join([f"{table} sera reprise, avec toutes ses lignes", *steps]))
    for warning, remedy in adoption.warnings(connection):
        yield Finding("Reprise", "warning", warning, remedy)


def _revisions(state: InTouchState) -> Finding:
    try:
        return Finding("Révisions", "ok", revision_state(state.revisions).without_its_subject)
    except MontoitError as error:
        return Finding("Révisions", "problem", str(error), "Mettez ce projet à jour.")


def _drift(connection: Connection) -> Iterator[Finding]:
    """Say what differs from what the deployments made."""
    differences = drift.differences(connection)
    if differences is None:
        yield Finding(
            "Dérive",
            "warning",
            "aucun déploiement n'a laissé d'empreinte dans cette base (alembic stamp, ou copie sans les données ?)",
            "Ce qui a été modifié à la main ne peut pas être reconnu. Comparez avec docs/schema.sql.",
        )
    elif not differences:
        yield Finding("Dérive", "ok", "tout ce que les déploiements ont fait est intact")
    for message, remedy, is_problem in differences or ():
        yield Finding("Dérive", "problem" if is_problem else "warning", message, remedy)


def _rehearsal(
    url: URL,
    orders: Sequence[Order],
    bounds: DeploymentSettings,
    intouch: InTouchSettings | None,
    *,
    is_green: bool,
) -> Finding:
    """Rehearse the orders; an upgrade only where nothing else was found that would stop it."""
    if not is_green and any(order.verb == "upgrade" for order in orders):
        return Finding("Répétition", "warning", "pas faite : corrigez d'abord ce qui précède")
    subject = f"Répétition ({', puis '.join(map(str, orders))})"
    try:
        outcome = rehearse(url, orders, bounds, intouch)
    except MontoitError as error:
        return Finding(subject, "problem", str(error))
    if outcome.failure:
        return Finding(subject, "problem", str(outcome), "Corrigez la cause, puis répétez de nouveau.")
    return Finding(subject, "ok", f"{outcome}\n   {LEFT_OUT}" if outcome.went_through else str(outcome))


def _order(state: InTouchState) -> Iterator[Finding]:
    """Say what keeps `upgrade head` from its order while InTouch is on: another environment, or an incomplete state."""
    contradiction = state.contradiction(ordered_environment() or "production")
    if contradiction is not None:
        message, _, remedy = contradiction.partition(". ")
        yield Finding("Environnement", "problem", message, remedy)
    elif Tree(script_directory()).activation.revision in state.revisions and state.is_on and not state.is_complete:
        message = "InTouch est activé, mais pas complètement. Voyez : montoit-db status"
        yield Finding("Activation", "problem", message, f"Pour le rendre opérationnel : {state.next_command}")
    elif paused := state.paused_services:
        message = f"{paused} service{'s' if paused > 1 else ''} à 0 % (en pause)"
        yield Finding("Part", "warning", message, f"Pour servir de nouveau : {state.next_command}")


def _others(connection: Connection) -> Iterator[Finding]:
    """Look for another deployment, and for transactions that a deployment would wait for."""
    busy = locks.lock_holder(connection)
    if busy is not None:
        yield Finding("Déploiement", "problem", f"un autre est en cours ({busy})", "Attendez sa fin.")
    old = locks.old_blockers(connection, OLD_TRANSACTION)
    for row in old:
        yield Finding(
            "Verrous",
            "problem",
            str(row),
            f"Attendez la fin de cette session, ou terminez-la : {row.remedy}",
        )
    if busy is None and not old:
        yield Finding("Verrous", "ok", "aucun autre déploiement, aucune transaction ancienne sur nos tables")
