"""What the server and libpq say of a failure, and what to do about it."""

from __future__ import annotations

import re

import psycopg
from sqlalchemy.exc import DBAPIError

from montoit_db.display import harmless

MISSING_RIGHT = "42501"
_CONSTRAINT = "Une contrainte que quelqu'un a ajoutée refuse ce qui est écrit : corrigez-la, ou retirez-la."
_NAME_TAKEN = "Un objet de ce nom existe déjà, et n'est pas à nous : renommez-le, puis relancez la commande."
# What to do about an error, by its SQLSTATE.
_ADVICE = {
    MISSING_RIGHT: "Ce rôle n'en a pas le droit. Connectez-vous avec le propriétaire (sur Supabase : postgres).",
    "25006": (
        "La base est en lecture seule : un réplica, une bascule en cours, ou default_transaction_read_only. Prenez "
        "l'adresse du serveur principal ; sur Supabase, un disque plein met aussi la base en lecture seule."
    ),
    "53100": "Le disque du serveur est plein : libérez de la place ou agrandissez-le, puis relancez la commande.",
    "53300": "Toutes les connexions du serveur sont prises : fermez-en, ou passez par un pooler, puis relancez.",
    "57P01": "Un administrateur ou un redémarrage a coupé la connexion : relancez la commande quand le serveur répond.",
    "57P03": "Le serveur démarre ou s'arrête : relancez la commande dans une minute.",
    "08P01": (
        "Ce qui répond ne suit pas le protocole de PostgreSQL comme prévu, un pooler le plus souvent : ajoutez "
        "?pgbouncer=true à DATABASE_URL, ou connectez-vous en direct."
    ),
    "42P01": (
        "Une table manque. Si elle est à nous : alembic upgrade schema@head. Sinon un déclencheur ou une fonction la "
        "nomme sans son schéma : écrivez public. devant son nom."
    ),
    "2BP01": "Un objet qui n'est pas à nous en dépend : retirez-le d'abord, ou gardez le schéma.",
    "42P07": _NAME_TAKEN,
    "42710": _NAME_TAKEN,
    "42P16": "Une vue de ce nom existe déjà, avec d'autres colonnes, et n'est pas à nous : renommez-la, puis relancez",
    **dict.fromkeys(("23502", "23503", "23505", "23514", "23P01"), _CONSTRAINT),
}


def message(error: DBAPIError | psycopg.Error) -> str:
    """Return what the server said, without its DETAIL, which may quote a whole row, and without control characters."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    diagnostic = cause.diag if isinstance(cause, psycopg.Error) else None
    if diagnostic is None or diagnostic.message_primary is None:
        return f"La base de données a refusé ou coupé la connexion : {harmless(str(cause)).strip()}"
    lines = [f"La base de données a refusé (SQLSTATE {diagnostic.sqlstate}) : {diagnostic.message_primary}"]
    advice = _ADVICE.get(diagnostic.sqlstate or "")
    if diagnostic.message_hint and (advice is None or diagnostic.sqlstate == MISSING_RIGHT):
        advice = diagnostic.message_hint  # in the second case it is our own, and more precise
    view = re.search(r"create or replace view (\S+)", getattr(error, "statement", None) or "")
    if view is not None and diagnostic.sqlstate == "42P16":  # the server does not name it
        advice = f"{advice} ({view[1]})."
    return harmless("\n".join([*lines, advice] if advice else lines))


def is_refusal(error: DBAPIError) -> bool:
    """Tell whether the server has answered with an error, and so has ended the transaction."""
    cause = error.orig
    return isinstance(cause, psycopg.Error) and (cause.sqlstate or "08")[:2] not in {"08", "57"}


_NO_TLS = (
    "TLS : ce serveur n'en offre pas, et rien ne lui a été envoyé, ni mot de passe ni commande. Activez-y TLS ; "
    "sur un réseau sûr de bout en bout, écrivez sslmode=disable dans DATABASE_URL."
)
# A connection that fails has no error code, only a text: patterns of that text, and what to do about each.
_REMEDIES = (
    (
        r"SSL negotiation: H|but received H",
        "Serveur : un serveur web (HTTP) répond. Prenez l'adresse de la base (port 5432 ou 6543), non celle du site.",
    ),
    (
        r"but received S|SSL error: (unexpected eof|wrong version number|packet length too long|record layer)",
        "Serveur : ce n'est pas PostgreSQL qui répond à cette adresse (SSH, un proxy ?). Vérifiez l'hôte et le port.",
    ),
    (
        r"(?i)too many (clients|connections)|connection slots are reserved|max client connections|connection limit",
        "Connexions : toutes sont prises. Fermez-en, attendez, ou passez par un pooler.",
    ),
    (
        r"not (currently )?accepting connections|the database system is|shutting down|starting up",
        "Serveur : il démarre, s'arrête, ou cette base est fermée aux connexions. Réessayez dans une minute.",
    ),
    (
        r"permission denied for database",
        "Droits : ce rôle ne peut pas se connecter à cette base. Son propriétaire : grant connect on database … to …;",
    ),
    (r"does not support SSL, but SSL was required", _NO_TLS),
    (r"requirepeer", "Serveur : un autre compte que celui du serveur attendu y répond ; rien ne lui a été envoyé."),
    (
        r"failed to resolve host|could not translate host name|Name or service not known",
        "Hôte : ce nom n'existe pas, ou seulement en IPv6 (Supabase en direct) ; depuis IPv4, prenez le pooler.",
    ),
    (
        r"Connection refused|No such file or directory|unreachable|time[d]? ?out|No route to host",
        "Hôte ou port : rien ne répond à cette adresse. Vérifiez le port, le pare-feu, et que le serveur tourne.",
    ),
    (r"(?i)\bssl\b|certificate|\btls\b", "TLS : vérifiez sslmode et sslrootcert dans DATABASE_URL."),
    (r"FATAL: .*database \"", "Base : ce nom n'existe pas sur ce serveur. Créez-la, ou corrigez la fin de l'adresse."),
    (
        r"(?i)authentication|role \"|pg_hba|password",
        "Authentification : vérifiez l'utilisateur et le mot de passe (caractères spéciaux encodés : @ s'écrit %40).",
    ),
)


def remedy(reason: str) -> str:
    """Return what to do about a connection that failed for `reason`."""
    for pattern, advice in _REMEDIES:
        if re.search(pattern, reason):
            return advice
    return "Vérifiez DATABASE_URL (hôte, port, utilisateur, mot de passe, base) et que le serveur répond."
