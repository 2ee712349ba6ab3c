"""The `montoit-db` command: thin, since everything it does is a plain function elsewhere.

Exit status: 0 yes, 1 no, 2 usage or settings, 3 database out of reach.
"""

from __future__ import annotations

import gc
import io
import os
import re
import signal
import sys
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path  # noqa: TC003 -- typer evaluates the annotations
from typing import TYPE_CHECKING, Annotated

import typer
from psycopg.errors import QueryCanceled
from sqlalchemy.exc import DBAPIError, OperationalError
from typer.exceptions import TyperException

from montoit_db import __version__, database, progress, settings
from montoit_db.deploy.locks import LOCK_ERRORS, who_blocks
from montoit_db.deploy.trust import EVERY_COMMAND, WRITING, refuse_strangers
from montoit_db.display import NARROWEST, harmless, number, on_one_line, show, show_json, terminal_width, with_words
from montoit_db.errors import MontoitError, RefusedError, SettingsError, UnreachableError
from montoit_db.flags import history, rollout
from montoit_db.flags.guard import ENOUGH_PAYMENTS, Guard
from montoit_db.intouch import evidence
from montoit_db.intouch.catalogue import SERVICES, TABLES
from montoit_db.intouch.state import InTouchState, read
from montoit_db.intouch.summary import summary, what_next
from montoit_db.intouch.test_commands import Functions, test_commands
from montoit_db.monitoring import metrics, page, purge, terminal
from montoit_db.monitoring import read as monitoring
from montoit_db.usage import in_french

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

NO, UNUSABLE, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130
MARKS = {"ok": "✅", "warning": "⚠"}

app = typer.Typer(
    help="État et outils de l'intégration InTouch de Mon Toit.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

SchemaOnly = Annotated[bool, typer.Option("--schema", help="Pour alembic upgrade schema@head : sans les credentials.")]
Reason = Annotated[str, typer.Option(help="Pourquoi, pour l'historique.")]
Json = Annotated[bool, typer.Option("--json", help="Réponse en JSON, pour les programmes.")]


def _examples(*commands: str) -> str:
    """Return what ends a command's help."""
    return "\n\n".join(["Exemples :", *commands])


def _show_version(wanted: bool) -> None:  # noqa: FBT001 -- typer's callback
    if wanted:
        show(f"montoit-db {__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("--version", help="Dit la version, et rien d'autre.", is_eager=True, callback=_show_version)
]


@app.callback()
def montoit_db(*, version: Version = False) -> None:
    """Hold the options that stand before a command's name."""


@app.command(
    "alembic",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
)
def run_alembic(context: typer.Context) -> None:
    """Lance Alembic avec les révisions de ce paquet, depuis n'importe quel répertoire (montoit-db alembic -h)."""
    from montoit_db.deploy import command  # noqa: PLC0415 -- Alembic, which other commands do without

    with _errors():
        command.run(context.args)


@app.command(epilog=_examples("montoit-db status", "montoit-db status --json"))
def status(*, json_output: Json = False) -> None:
    """Dit si InTouch est opérationnel, d'après la base (code 0 : oui, 1 : non)."""
    from montoit_db.deploy.revisions import revision_state  # noqa: PLC0415 -- here and below: Alembic, which others do without

    with _errors():
        with _connected() as connection:
            state = read(connection)
            differing = _differing(connection, state) if state.is_complete else ()
        revision = revision_state(state.revisions)
        ordered = settings.ordered_environment()
        contradiction = state.contradiction(ordered) if ordered else None
        if json_output:
            _answer(
                {
                    "revision": revision._asdict(),
                    "environment": state.environment,
                    "host": state.host,
                    "credentials": {**state.credentials._asdict(), "stored": state.stored_credentials},
                    "services": [asdict(service) for service in state.services],
                    "operational": state.operational,
                    "contradiction": contradiction,
                    "differing": differing,
                }
            )
        else:
            behind = "Pour mettre le schéma à jour : alembic upgrade schema@head" if revision.pending else ""
            show("\n".join(filter(None, (summary(state), str(revision), what_next(state) or behind))))
            if differing:
                show(
                    f"Les credentials de l'environnement diffèrent de ceux de la base : {', '.join(differing)}.\n"
                    "Pour les enregistrer sans couper les services : montoit-db rotate"
                )
        if contradiction:
            show(contradiction, error=True)
    raise typer.Exit(0 if state.operational and not contradiction else NO)


Rehearse = Annotated[bool, typer.Option("--rehearse", help="Répète aussi le déploiement, puis annule tout.")]
RehearseRollback = Annotated[
    bool, typer.Option("--rehearse-rollback", help="Répète aussi le retour arrière, puis annule tout.")
]


@app.command(epilog=_examples("montoit-db check", "montoit-db check --schema", "montoit-db check --intouch"))
def check(  # noqa: PLR0913 -- each is an option
    *,
    schema: SchemaOnly = False,
    rehearse: Rehearse = False,
    rehearse_rollback: RehearseRollback = False,
    intouch: Annotated[
        bool, typer.Option("--intouch", help="Demande aussi son solde à InTouch, ce qui prouve les credentials.")
    ] = False,
    min_balance: Annotated[
        str | None, typer.Option(metavar="FCFA", help="Avec --intouch : un solde plus petit est un problème.")
    ] = None,
    json_output: Json = False,
) -> None:
    """Cherche, sans rien écrire, ce qui empêcherait un déploiement (code 0 : rien, 1 : un problème)."""
    from montoit_db.deploy import preflight  # noqa: PLC0415
    from montoit_db.deploy.rehearsal import Order  # noqa: PLC0415

    with _errors():
        if intouch and schema:
            raise MontoitError("--intouch a besoin des credentials, que --schema laisse de côté : choisissez.")
        if min_balance is not None and not intouch:
            raise MontoitError("--min-balance ne vaut qu'avec --intouch.")
        least = None if min_balance is None else int(_bounded("--min-balance", min_balance, 10**15))
        findings = preflight.look(
            schema_only=schema,
            ask_intouch=intouch,
            min_balance=least,
            orders=[
                *([Order("upgrade", "schema@head" if schema else "head")] if rehearse else []),
                *([Order("downgrade", "-1")] if rehearse_rollback else []),
            ],
        )
    levels = {finding.level for finding in findings}
    if json_output:
        document = {"ok": levels <= {"ok", "warning"}, "findings": [finding._asdict() for finding in findings]}
        _answer(document)
    else:
        for finding in findings:
            message = re.sub(r"\n(?! )", "\n   ", finding.message)
            show(f"{MARKS.get(finding.level, '❌')} {finding.subject} : {message}")
            if finding.remedy:
                show(f"   {finding.remedy}")
    raise typer.Exit(
        UNUSABLE
        if "settings" in levels
        else UNREACHABLE
        if "unreachable" in levels
        else NO
        if "problem" in levels
        else 0
    )


@app.command(epilog=_examples('montoit-db rotate --reason "valeurs de mars"'))
def rotate(*, reason: Reason = "", json_output: Json = False) -> None:
    """Enregistre les credentials de l'environnement sans couper les services."""
    from montoit_db.intouch import credentials  # noqa: PLC0415

    with _errors():
        target, waits, intouch = settings.from_environment_together(
            settings.DatabaseSettings, settings.DeploymentSettings, settings.InTouchSettings
        )
        with _connected(target, waits, writes=True) as connection:
            changed = credentials.rotate(connection, intouch, waits.deploy_timeout, _utf8("--reason", reason))
            connection.commit()
    if json_output:
        _answer({"environment": intouch.environment, "changed": changed})
    elif changed:
        show(f"Credentials InTouch ({intouch.environment}) renouvelés : {', '.join(changed)}.")
    else:
        show(f"Credentials InTouch ({intouch.environment}) : aucun n'a changé.")


@app.command(
    "rollout",
    epilog=_examples(
        'montoit-db rollout 10 --reason "Semaine 1"',
        "montoit-db rollout 50 --max-failure-rate 5 --min-payments 30",
        "montoit-db rollout 0 --flag wave_payment",
        "montoit-db rollout 0 --if-failure-rate-above 20 --yes",
    ),
)
def roll_out(  # noqa: PLR0913 -- its options
    share: Annotated[str, typer.Argument(metavar="PART", help="Part des utilisateurs, de 0 à 100, en %.")],
    *,
    flag: Annotated[
        list[str] | None,
        typer.Option(
            help="Un flag ; à répéter. Sans cette option : les sept.",
            autocompletion=lambda: [service.key for service in SERVICES],
        ),
    ] = None,
    max_failure_rate: Annotated[
        str | None,
        typer.Option(metavar="P", help="N'élargit que si au plus P % des paiements échouent (24 heures)."),
    ] = None,
    if_failure_rate_above: Annotated[
        str | None,
        typer.Option(metavar="P", help="Avec 0 : met en pause ce dont plus de P % des paiements échouent."),
    ] = None,
    min_payments: Annotated[
        str, typer.Option(metavar="N", help="Moins de N paiements sur 24 heures ne permettent pas de juger.")
    ] = str(ENOUGH_PAYMENTS),
    reason: Reason = "",
    yes: Annotated[bool, typer.Option("--yes", help="Applique sans demander.")] = False,
    json_output: Json = False,
) -> None:
    """Change la part des utilisateurs servis, après avoir montré ce que cela change."""
    with _errors():
        wanted = int(_bounded("PART", share, 100))
        keys = [_utf8("--flag", key) for key in flag or [service.key for service in SERVICES]]
        guard = _guard(wanted, max_failure_rate, if_failure_rate_above, min_payments)
        order = f"montoit-db rollout {wanted}"
        if guard is not None:
            option = "--if-failure-rate-above" if guard.pauses else "--max-failure-rate"
            order += f" {option} {guard.rate:g} --min-payments {guard.min_payments}"
        why = rollout.reason_for(order, _utf8("--reason", reason))
        target, waits = settings.from_environment_together(settings.DatabaseSettings, settings.DeploymentSettings)
        with _connected(target, waits, writes=True) as connection:
            if guard is not None and guard.pauses:
                keys = guard.to_pause(connection, keys)
            changes = rollout.plan(connection, wanted, keys)
            todo = any(change.is_needed for change in changes)
            if guard is not None and not guard.pauses and any(change.after < change.before for change in changes):
                raise MontoitError("--max-failure-rate ne sert qu'à élargir : un de ces flags a une part plus grande.")
            if guard is not None and todo:
                guard.decide(connection, keys)
            connection.rollback()  # nothing is held while a person thinks
            if not json_output:
                show(rollout.described(changes) if changes else "Rien à mettre en pause.")
            agreed = todo and (yes or _agreed(ask=not json_output))
            if agreed:
                why = rollout.apply(connection, changes, order, waits, guard, reason)
    if json_output:
        document = {"applied": agreed, "reason": why, "flags": [change._asdict() for change in changes]}
        _answer(document)
    elif todo:
        show(f"Fait. Dans l'historique : {why}" if agreed else "Rien n'a été modifié.")
    raise typer.Exit(NO if todo and not agreed else 0)


def _guard(share: int, max_failure_rate: str | None, if_above: str | None, min_payments: str) -> Guard | None:
    """Return the guard that the options ask for; None: none.

    Raises:
        MontoitError: the options contradict each other, or one is not a number.

    """
    enough = int(_bounded("--min-payments", min_payments, 10**9, least=1))
    if if_above is not None:
        if share or max_failure_rate is not None:
            raise MontoitError("--if-failure-rate-above met en pause : avec la part 0, et sans --max-failure-rate.")
        return Guard(_bounded("--if-failure-rate-above", if_above, 100, whole=False), enough, pauses=True)
    if max_failure_rate is None:
        return None
    return Guard(_bounded("--max-failure-rate", max_failure_rate, 100, whole=False), enough, pauses=False)


def _agreed(*, ask: bool) -> bool:
    """Ask for confirmation, if somebody is there to answer."""
    if not ask or sys.stdin is None or not sys.stdin.isatty():
        show("Rien n'est confirmé : ajoutez --yes.", error=True)
        return False
    try:
        answer: str = typer.prompt("Appliquer ? (oui/non)", default="non", err=True)
    except typer.Abort:  # Ctrl-C, or the end of the input
        show("", error=True)
        return False
    return answer.strip().lower() in {"o", "oui", "y", "yes"}


@app.command("history", epilog=_examples("montoit-db history --days 7", "montoit-db history --flag wave_payment"))
def show_history(
    *,
    flag: Annotated[list[str] | None, typer.Option(help="Un flag ; à répéter. Sans cette option : tout.")] = None,
    days: Annotated[str, typer.Option(metavar="N", help="Nombre de jours, aujourd'hui compris.")] = "30",
    json_output: Json = False,
) -> None:
    """Dit qui a changé quoi, quand et pourquoi, le plus récent d'abord."""
    with _errors():
        number_of_days = int(_bounded("--days", days, history.MOST_DAYS, least=1))
        keys = [_utf8("--flag", key) for key in flag or []]
        with _connected() as connection:
            changes = history.read(connection, number_of_days, keys)
    if json_output:
        _answer([asdict(change) for change in changes])
    else:
        show(history.described(changes, number_of_days, max(NARROWEST, terminal_width(history.WIDTH))))


@app.command(
    epilog=_examples(
        "montoit-db monitor --days 30 --html surveillance.html",
        "montoit-db monitor --max-failure-rate 5 --min-payments 30 --max-cost 2000000",
        "montoit-db monitor --prometheus /var/lib/node_exporter/montoit.prom",
    )
)
def monitor(  # noqa: PLR0913 -- its options
    *,
    days: Annotated[str, typer.Option(metavar="N", help="Nombre de jours, aujourd'hui compris.")] = "7",
    html: Annotated[Path | None, typer.Option(metavar="FICHIER", help="Écrit aussi une page à ouvrir.")] = None,
    prometheus: Annotated[
        Path | None, typer.Option(metavar="FICHIER", help="Écrit aussi un fichier .prom pour node_exporter.")
    ] = None,
    max_failure_rate: Annotated[
        str | None, typer.Option(metavar="P", help="Code 1 au-delà de P % de paiements échoués sur 24 heures.")
    ] = None,
    min_payments: Annotated[
        str, typer.Option(metavar="N", help="Moins de N paiements sur 24 heures ne déclenchent rien.")
    ] = "1",
    max_cost: Annotated[str | None, typer.Option(metavar="FCFA", help="Code 1 au-delà, sur 30 jours.")] = None,
    json_output: Json = False,
) -> None:
    """Montre paiements, SMS, WhatsApp, coûts et échecs (code 1 : un seuil est dépassé)."""
    with _errors():
        number_of_days = int(_bounded("--days", days, monitoring.MOST_DAYS, least=1))
        rate = None if max_failure_rate is None else _bounded("--max-failure-rate", max_failure_rate, 100, whole=False)
        enough = int(_bounded("--min-payments", min_payments, 10**9, least=1))
        cost = None if max_cost is None else int(_bounded("--max-cost", max_cost, 10**15))
        with _connected() as connection:
            figures = monitoring.read(connection, number_of_days)
            warnings = evidence.silence(connection)
        alarms = monitoring.alarms(figures, rate, cost, enough)
        if html is not None:
            _replace(html, page.page(figures, alarms, rate, enough, warnings))
        if prometheus is not None:
            metrics.write_metrics(figures, prometheus)
    # Before the tables, which may be long.
    for line in [*(alarm.message for alarm in alarms), *(f"{MARKS['warning']} {warning}" for warning in warnings)]:
        show(line, error=True)
    if json_output:
        answer = {
            **asdict(figures),
            "time_zone": "Africa/Abidjan",
            "alarms": [alarm._asdict() for alarm in alarms],
            "warnings": warnings,
        }
        _answer(answer)
    else:
        colours = sys.stdout is not None and sys.stdout.isatty()
        show(terminal.rendered(figures, colours=colours), has_colours=colours)
    raise typer.Exit(NO if alarms else 0)


@app.command(
    "purge",
    epilog=_examples(
        "montoit-db purge --keep-months 12", "montoit-db purge --keep-months 120 --log payment_logs --yes"
    ),
)
def purge_logs(
    *,
    keep_months: Annotated[str, typer.Option(metavar="N", help="Mois à garder, en plus du mois en cours.")],
    log: Annotated[
        list[str] | None,
        typer.Option(
            help="Un journal ; à répéter. Sans cette option : sms_logs et whatsapp_logs.",
            autocompletion=lambda: [each.table for each in monitoring.LOGS],
        ),
    ] = None,
    reason: Reason = "",
    yes: Annotated[bool, typer.Option("--yes", help="Supprime sans demander.")] = False,
    json_output: Json = False,
) -> None:
    """Supprime les lignes anciennes des journaux, mois par mois, après avoir dit combien."""
    deleted: dict[str, int] = {}
    with _errors(is_one_transaction=False):
        kept = int(_bounded("--keep-months", keep_months, 1200, least=1))
        logs = [_utf8("--log", name) for name in log or purge.PURGED]
        why = on_one_line(with_words(f"montoit-db purge --keep-months {kept}", _utf8("--reason", reason)))
        target, waits = settings.from_environment_together(settings.DatabaseSettings, settings.DeploymentSettings)
        with _connected(target, waits, writes=True) as connection:
            planned = purge.plan(connection, kept, logs)
            connection.rollback()  # nothing is held while a person thinks
            if not json_output:
                show(purge.described(planned))
            todo = planned.rows > 0
            agreed = todo and (yes or _agreed(ask=not json_output))
            try:
                with progress.bar() as report:
                    for name, rows in purge.purge(connection, planned, why, waits.deploy_timeout) if agreed else ():
                        deleted[name] = deleted.get(name, 0) + rows
                        report(sum(deleted.values()), planned.rows, name)
            except (KeyboardInterrupt, MontoitError, DBAPIError) as stop:
                show(f"Arrêt, {_lines(deleted)}. Pour continuer : relancez la commande.", error=True)
                if isinstance(stop, KeyboardInterrupt):
                    raise typer.Exit(NO) from None
                raise
            left = agreed and purge.plan(connection, kept, logs).rows
    if json_output:
        document = {
            "applied": agreed,
            "reason": why,
            "before": planned.before.isoformat(),
            "months": [month._asdict() for month in planned.months],
            "deleted": deleted,
            "left": left if agreed else planned.rows,
        }
        _answer(document)
    elif todo:
        show(f"Fait, {_lines(deleted)}." if agreed else "Rien n'a été supprimé.")
    if left:
        show(f"Restent {left} lignes, que d'autres sessions tiennent : relancez la commande.", error=True)
    raise typer.Exit(NO if left or (todo and not agreed) else 0)


def _lines(deleted: dict[str, int]) -> str:
    counts = ", ".join(f"{name} {number(rows)}" for name, rows in deleted.items())
    return f"lignes supprimées : {counts}" if counts else "aucune ligne supprimée"


def _replace(path: Path, text: str) -> None:
    """Write a file whole, or leave the former one.

    Raises:
        MontoitError: it cannot be written.

    """
    place = path.resolve()  # a link stays one
    unfinished = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        if path.exists() and not path.is_file():  # /dev/stdout, for example
            path.write_text(text, encoding="utf-8")
            return
        try:
            unfinished.write_text(text, encoding="utf-8")
            unfinished.replace(place)
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise MontoitError(f"{path} : écriture impossible ({error.strerror}).") from None


def _answer(document: object) -> None:
    """Print the answer for programs; a failure is one of the command, whatever it has done."""
    try:
        show_json(document)
    except OSError as error:
        print(f"La réponse en JSON n'a pas pu être écrite ({error.strerror}).", file=sys.stderr)  # noqa: T201
        raise typer.Exit(UNUSABLE) from None


def _bounded(name: str, typed: str, most: int, *, least: int = 0, whole: bool = True) -> float:
    """Return the number that was typed.

    Raises:
        MontoitError: it is not a number, or not between `least` and `most`.

    """
    if re.fullmatch(r"[0-9]{1,15}" if whole else r"[0-9]{1,15}([.,][0-9]{1,6})?", typed):
        value = float(typed.replace(",", "."))
        if least <= value <= most:
            return value
    kind = "entier " if whole else ""
    raise MontoitError(f"{name} : doit être un nombre {kind}de {least} à {most}, sans unité.")


def _utf8(name: str, typed: str) -> str:
    """Return the text that was typed.

    Raises:
        MontoitError: it is not in UTF-8.

    """
    try:
        typed.encode()
    except UnicodeEncodeError:
        raise MontoitError(f"{name} : n'est pas de l'UTF-8. Rien n'a été modifié.") from None
    return typed


_FUNCTION = "L'Edge Function déployée."


@app.command("test-commands", epilog=_examples("SUPABASE_URL=https://abc.supabase.co montoit-db test-commands"))
def print_test_commands(
    *,
    payment_function: Annotated[str, typer.Option(metavar="NOM", help=_FUNCTION)] = Functions().payment,
    sms_function: Annotated[str, typer.Option(metavar="NOM", help=_FUNCTION)] = Functions().sms,
    whatsapp_function: Annotated[str, typer.Option(metavar="NOM", help=_FUNCTION)] = Functions().whatsapp,
) -> None:
    """Affiche les commandes curl qui essaient chaque service activé."""
    with _errors():
        functions = Functions(payment_function, sms_function, whatsapp_function)
        for name in functions:
            if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", name):
                raise MontoitError("Le nom d'une Edge Function a des lettres, des chiffres, - et _ , et rien d'autre.")
        project = settings.supabase_url()
        with _connected() as connection:
            state = read(connection)
    commands = test_commands(state, project, functions)
    if not commands:
        paused = f"Les services InTouch sont en pause ({state.paused_services} sur {len(state.services)})"
        why = paused if state.paused_services else "Aucun service InTouch n'est activé"
        print(f"{why} : rien à essayer. Voyez : montoit-db status", file=sys.stderr)  # noqa: T201
        raise typer.Exit(NO)
    show(commands)


def main() -> None:
    """Run the command line."""
    gc.freeze()  # imported modules live to the end: their last garbage collection would take 0.1 s
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # help is French, and some terminals are ASCII
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # which the first process of a container would ignore
    try:
        code = app(prog_name="montoit-db", standalone_mode=False)
    except TyperException as error:
        show(in_french(error, "montoit-db"), error=True)
        code = error.exit_code
    if code == INTERRUPTED:
        show("Interrompu : ce qui n'était pas fini est annulé. Voyez : montoit-db status", error=True)
    sys.exit(code or 0)


def _differing(connection: Connection, state: InTouchState) -> tuple[str, ...]:
    """Return the names of the credentials that differ; none if the variables are for another environment."""
    from montoit_db.intouch import credentials  # noqa: PLC0415

    try:
        intouch = settings.InTouchSettings.from_environment()
    except SettingsError:
        return ()  # a status needs no credentials
    return credentials.differing(connection, intouch) if intouch.environment == state.environment else ()


@contextmanager
def _connected(
    target: settings.DatabaseSettings | None = None,
    bounds: settings.DeploymentSettings | None = None,
    *,
    writes: bool = False,
) -> Iterator[Connection]:
    """Open the connection of a command, which reads only what belongs to somebody whom we trust."""
    with database.connect(target, bounds) as connection:
        refuse_strangers(connection, WRITING if writes else EVERY_COMMAND)
        yield connection


@contextmanager
def _errors(*, is_one_transaction: bool = True) -> Iterator[None]:
    """Turn a failure into one message on stderr and an exit status.

    What is no single transaction may have changed something before it failed, and says itself what that is.
    """
    try:
        yield
    except UnreachableError as error:
        message, code = str(error), UNREACHABLE
    except RefusedError as error:
        message, code = str(error), NO
    except MontoitError as error:
        message, code = str(error), UNUSABLE
    except DBAPIError as error:
        if isinstance(error.orig, _WAITED_TOO_LONG):
            message, code = _blocked(error), NO
        else:
            message = database.message(error)
            if getattr(error.orig, "sqlstate", None) == database.MISSING_RIGHT:
                message += f"\n{_who_may()}"
            if is_one_transaction and database.is_refusal(error):
                message += "\nCette commande est annulée : rien n'a été modifié."
            code = UNREACHABLE if isinstance(error, OperationalError) else UNUSABLE
    else:
        return
    print(harmless(message), file=sys.stderr)  # noqa: T201
    raise typer.Exit(code)


def _who_may() -> str:
    """Return which roles own our tables, and so may do what this one may not; empty if that cannot be read."""
    try:
        with database.connect(is_second=True) as connection:
            owners = connection.exec_driver_sql(_OWNERS, {"tables": [*TABLES]}).scalar()
    except (MontoitError, DBAPIError):
        return ""
    return f"Propriétaire : {owners}." if owners else ""


_OWNERS = """
select string_agg(distinct pg_get_userbyid(relowner), ', ') from pg_class
where relnamespace = 'public'::regnamespace and relname = any(%(tables)s)
   or relnamespace = to_regnamespace('montoit') and relname = 'alembic_version'
"""
_WAITED_TOO_LONG = (*LOCK_ERRORS, QueryCanceled)


def _blocked(error: DBAPIError) -> str:
    """Return what to say of a command that a lock kept from its answer; the connection that waited is closed by now."""
    said = database.message(error)
    try:
        with database.connect(is_second=True) as connection:
            return f"{said}\n{who_blocks(connection)}"
    except (MontoitError, DBAPIError):  # the second connection may find less than the first
        return f"{said}\nQui tient le verrou n'a pas pu être lu : relancez la commande."
