"""What `montoit-db check` says of values: where InTouch's go, and who else could read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from montoit_db.deploy.findings import Finding
from montoit_db.deploy.statements import has_vault
from montoit_db.intouch.catalogue import host_of, is_intouchs
from montoit_db.settings import libpq_variables, others_read_dotenv

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from montoit_db.settings import InTouchSettings

_LOGS_PARAMETERS = """
select current_setting('pgaudit.log_parameter', true) = 'on' and current_setting('pgaudit.log', true) <> 'none'
"""


def environment() -> Iterator[Finding]:
    """Say what of the environment others may read, or what libpq reads by itself."""
    if others_read_dotenv():
        yield Finding(
            "Réglages", "warning", ".env : tous les comptes de cette machine peuvent le lire",
            "Corrigez : chmod 600 .env",
        )  # fmt: skip
    if names := libpq_variables():
        yield Finding(
            "Réglages", "warning", f"{', '.join(names)} : libpq lit ces variables, en plus de DATABASE_URL",
            "Retirez celles dont la connexion n'a pas besoin (« Réglages », docs/GUIDE.fr.md).",
        )  # fmt: skip


def host(intouch: InTouchSettings) -> Finding:
    """Name the host that the credentials are for."""
    name = host_of(intouch.base_url)
    if is_intouchs(name):
        return Finding("API InTouch", "ok", name + (", ou l'hôte de la base" if intouch.keeps_base_url else ""))
    return Finding(
        "API InTouch", "warning", f"{name} n'est pas un hôte d'InTouch : il recevrait les credentials",
        "Vérifiez INTOUCH_BASE_URL.",
    )  # fmt: skip


def audit(connection: Connection) -> Iterator[Finding]:
    """Warn of pgaudit if it logs what statements get: the Vault's own functions hand values on to statements."""
    if connection.exec_driver_sql(_LOGS_PARAMETERS).scalar_one() and has_vault(connection):
        yield Finding(
            "Journal", "warning",
            "pgaudit.log_parameter est actif : les fonctions du Vault y laisseraient les valeurs en clair",
            "Faites exécuter : alter role … set pgaudit.log_parameter = off; ou MONTOIT_CREDENTIAL_STORE=table.",
        )  # fmt: skip
