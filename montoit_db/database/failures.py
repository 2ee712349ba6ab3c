"""What the server and libpq say of a failure, and what to do about it."""

from __future__ import annotations

import re

import psycopg
from psycopg.errors import DependentObjectsStillExist
from sqlalchemy.exc import DBAPIError

from montoit_db.display import harmless


def message(error: DBAPIError | psycopg.Error) -> str:
    """Return what the server said, without its DETAIL, which may quote a whole row, and without control characters."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    diagnostic = cause.diag if isinstance(cause, psycopg.Error) else None
    if diagnostic is None or diagnostic.message_primary is None:
        return f"La base de données a refusé ou coupé la connexion : {harmless(str(cause)).strip()}"
    lines = [f"La base de données a refusé (SQLSTATE {diagnostic.sqlstate}) : {diagnostic.message_primary}"]
    if diagnostic.sqlstate == DependentObjectsStillExist.sqlstate:
        lines.append("Un objet qui n'est pas à nous en dépend : retirez-le d'abord, ou gardez le schéma.")
    elif diagnostic.message_hint:
        lines.append(diagnostic.message_hint)
    return harmless("\n".join(lines))


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
