"""The environment as typed, validated settings; the only reader of `os.environ`.

Values come from the process's environment, then from `.env` in the current directory, or from the file that
`MONTOIT_ENV_FILE` names. A settings class reports every problem in one `SettingsError`, which names variables and never
values.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args, overload
from urllib.parse import urlsplit

from dotenv.parser import parse_stream

from montoit_db.errors import SettingsError
from montoit_db.intouch.catalogue import CREDENTIALS

if TYPE_CHECKING:
    from collections.abc import Mapping

Environment = Literal["sandbox", "production"]
CredentialStore = Literal["auto", "table", "vault"]

DEFAULT_BASE_URL = "https://apidist.gutouch.net"

# Printed in the guide for everyone to read, so never a production credential.
EXAMPLE_VALUES = frozenset({"montoit_partner", "P@ssw0rd123!", "PART_12345", "api_login_montoit", "api_P@ss123!"})

ENV_FILE = "MONTOIT_ENV_FILE"

# What libpq reads by itself, beside DATABASE_URL; see docs/GUIDE.fr.md.
LIBPQ_VARIABLES = ("PGOPTIONS", "PGSERVICE", "PGSERVICEFILE", "PGSSLMODE", "PGSSLROOTCERT")

_PLACEHOLDER = re.compile(r"YOUR[_-]", re.IGNORECASE)
_EXAMPLE_URL = re.compile(r"YOUR_(PASSWORD|PROJECT)\b")  # of .env.example
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
_HIGHEST_PORT = 65535
_HOUR = 3600  # seconds


@dataclass(frozen=True, slots=True)
class DatabaseSettings:
    """Which database to talk to; `url` is None for the embedded server."""

    url: str | None = field(repr=False)
    environment: Environment

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] | None = None) -> DatabaseSettings:
        """Read `DATABASE_URL`, or the file that `DATABASE_URL_FILE` names; only a sandbox may leave out both.

        Raises:
            SettingsError: it is empty, or missing while `INTOUCH_ENVIRONMENT` is production.

        """
        reader = _Reader(_environment() if variables is None else variables)
        environment = reader.choice("INTOUCH_ENVIRONMENT", get_args(Environment), "production")
        url = reader.database_url()
        is_named = {"DATABASE_URL", "DATABASE_URL_FILE"} & {*reader.variables}
        if environment == "production" and not is_named:
            reader.refuse(
                "DATABASE_URL",
                "manquante. En production la base se nomme explicitement ; pour un essai sur le PostgreSQL "
                "embarqué, choisissez INTOUCH_ENVIRONMENT=sandbox",
            )
        reader.finish()
        return cls(url, cast("Environment", environment))


@dataclass(frozen=True, slots=True)
class DeploymentSettings:
    """How long a deployment waits, in seconds, and how often it tries again.

    `lock_timeout` bounds the wait for one lock; `lock_retries` is how many times a revision is tried again after that;
    `deploy_timeout` bounds the wait for another deployment, and each statement.
    """

    lock_timeout: float = 5
    lock_retries: int = 5
    deploy_timeout: float = 60

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] | None = None) -> DeploymentSettings:
        """Read `MONTOIT_LOCK_TIMEOUT`, `MONTOIT_LOCK_RETRIES` and `MONTOIT_DEPLOY_TIMEOUT`.

        Raises:
            SettingsError: one of them is not a number in its range.

        """
        reader = _Reader(_environment() if variables is None else variables)
        lock_timeout = reader.seconds("MONTOIT_LOCK_TIMEOUT", cls().lock_timeout)
        lock_retries = reader.whole_number("MONTOIT_LOCK_RETRIES", 100)
        deploy_timeout = reader.seconds("MONTOIT_DEPLOY_TIMEOUT", cls().deploy_timeout)
        reader.finish()
        return cls(lock_timeout, cls().lock_retries if lock_retries is None else lock_retries, deploy_timeout)


@dataclass(frozen=True, slots=True)
class InTouchSettings:
    """What an activation of InTouch is given.

    `credentials` maps the six key names to their values; `rollout_percentage` is in percent of users; None: each flag
    keeps its former share. `keeps_base_url`: none is ordered; a stored one stays, and `credentials` has the default.
    """

    environment: Environment
    credentials: Mapping[str, str] = field(repr=False)
    rollout_percentage: int | None
    credential_store: CredentialStore
    supabase_url: str | None
    keeps_base_url: bool = False

    @property
    def to_store(self) -> dict[str, str]:
        """The credentials as `montoit.store_credentials` takes them: an empty base_url keeps the stored one."""
        return {**self.credentials, **({"base_url": ""} if self.keeps_base_url else {})}

    @property
    def base_url(self) -> str:
        """The root of InTouch's API; the only credential that is not secret."""
        return self.credentials["base_url"]

    @classmethod
    def from_environment(cls, variables: Mapping[str, str] | None = None) -> InTouchSettings:
        """Read and validate every variable that an activation needs.

        Raises:
            SettingsError: naming each variable that is missing or cannot be used, all at once.

        """
        reader = _Reader(_environment() if variables is None else variables)
        environment = reader.choice("INTOUCH_ENVIRONMENT", get_args(Environment), "production")
        credentials = {
            credential.key_name: reader.https_url(credential.variable, DEFAULT_BASE_URL)
            if credential.key_name == "base_url"
            else reader.secret(credential.variable, production=environment == "production")
            for credential in CREDENTIALS
        }
        share = reader.whole_number("INTOUCH_ROLLOUT_PERCENTAGE", 100)
        store = reader.choice("MONTOIT_CREDENTIAL_STORE", get_args(CredentialStore), "auto")
        project = reader.supabase_url()
        reader.finish()
        return cls(
            environment=cast("Environment", environment),
            credentials=cast("dict[str, str]", credentials),
            rollout_percentage=share,
            credential_store=cast("CredentialStore", store),
            supabase_url=project,
            keeps_base_url="INTOUCH_BASE_URL" not in reader.variables,
        )


def ordered_environment(variables: Mapping[str, str] | None = None) -> Environment | None:
    """Return the environment that `INTOUCH_ENVIRONMENT` orders; None if it is not set, and production is meant.

    Raises:
        SettingsError: it is neither sandbox nor production.

    """
    reader = _Reader(_environment() if variables is None else variables)
    environment = reader.choice("INTOUCH_ENVIRONMENT", get_args(Environment), "")
    reader.finish()
    return cast("Environment", environment) if environment else None


def supabase_url(variables: Mapping[str, str] | None = None) -> str | None:
    """Return the project's URL for the test commands, without a final slash, or None.

    Raises:
        SettingsError: `SUPABASE_URL` is not a plain https URL.

    """
    reader = _Reader(_environment() if variables is None else variables)
    url = reader.supabase_url()
    reader.finish()
    return url


@overload
def from_environment_together(
    first: type[DatabaseSettings], second: type[DeploymentSettings], /
) -> tuple[DatabaseSettings, DeploymentSettings]: ...
@overload
def from_environment_together(
    first: type[DatabaseSettings], second: type[DeploymentSettings], third: type[InTouchSettings], /
) -> tuple[DatabaseSettings, DeploymentSettings, InTouchSettings]: ...
def from_environment_together(*groups: Any) -> Any:
    """Read several groups of settings.

    Raises:
        SettingsError: naming every problem of all groups, each once.

    """
    variables = _environment()
    problems: dict[str, None] = {}  # two groups read INTOUCH_ENVIRONMENT
    values = []
    for group in groups:
        try:
            values.append(group.from_environment(variables))
        except SettingsError as error:
            problems.update(dict.fromkeys(error.problems))
    if problems:
        raise SettingsError([*problems])
    return tuple(values)


def names_database() -> bool:
    """Tell whether the process's own environment names the database, so that `.env` is not needed for it."""
    return bool({"DATABASE_URL", "DATABASE_URL_FILE"} & {*os.environ})


def own_environment() -> dict[str, str]:
    """Return the process's own environment, without `.env`: for a rollback whose `.env` is refused."""
    return dict(os.environ)


def libpq_variables() -> list[str]:
    """Return the names of libpq's own variables that are set and matter to a connection."""
    return [name for name in LIBPQ_VARIABLES if os.environ.get(name)]


def others_read_dotenv() -> bool:
    """Tell whether every user of this machine may read the `.env` file that counts."""
    path, _ = _env_file()
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) and bool(mode & stat.S_IROTH)


def _environment() -> dict[str, str]:
    """Return the variables of the `.env` file, overridden by the process's own."""
    path, is_named = _env_file()
    return {**_dotenv(path, is_named=is_named), **os.environ}


def _env_file() -> tuple[Path, bool]:
    """Return the path of the `.env` file, and whether `MONTOIT_ENV_FILE` names it."""
    named = os.environ.get(ENV_FILE)
    return Path(named or ".env"), named is not None


def _dotenv(path: Path, *, is_named: bool) -> dict[str, str]:
    """Parse a `.env` file as it stands: `$` in a password is a `$`, and an unreadable line is an error.

    A file that merely lies in the directory has to be ours; one that is named is read, whoever owns it.
    """
    shown = f"{ENV_FILE} : fichier" if is_named else ".env :"
    try:
        if not is_named:
            _refuse_others_file(path)
        with path.open(encoding="utf-8") as stream:
            bindings = list(parse_stream(stream))
    except FileNotFoundError:
        if not is_named:
            return {}
        raise SettingsError([f"{shown} illisible (No such file or directory)"]) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "n'est pas de l'UTF-8"
        raise SettingsError([f"{shown} illisible ({reason})"]) from None
    broken = [binding.original.line for binding in bindings if binding.error]
    if broken:
        raise SettingsError([f"{path.name}, ligne {line} : illisible, attendu NOM='valeur'" for line in broken])
    return {binding.key: binding.value or "" for binding in bindings if binding.key is not None}


def _refuse_others_file(path: Path) -> None:
    """Refuse a `.env` that somebody else owns or may write, and that would name our database for us.

    Raises:
        SettingsError: its owner, or that of the link, is neither we nor root; others may write it; or it is no file.

    """
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise SettingsError([".env : n'est pas un fichier ordinaire"])
    if not {found.st_uid, path.lstat().st_uid} <= {os.geteuid(), 0}:
        raise SettingsError(
            [f".env : appartient à un autre compte. Supprimez-le, ou nommez-le si vous vous y fiez : {ENV_FILE}=.env"]
        )
    if found.st_mode & stat.S_IWOTH:
        raise SettingsError([".env : tous les comptes de cette machine peuvent l'écrire. Corrigez : chmod 600 .env"])


class _Reader:
    """Reads variables one by one and remembers what is wrong with each."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = variables
        self._problems: list[str] = []

    def refuse(self, name: str, problem: str) -> None:
        self._problems.append(f"{name} : {problem}")

    def finish(self) -> None:
        """Report every problem.

        Raises:
            SettingsError: a variable was refused.

        """
        if self._problems:
            raise SettingsError(self._problems)

    def optional(self, name: str) -> str | None:
        """Return a value that is set and usable as text; None if it is unset or was refused."""
        value = self.variables.get(name)
        if value is None:
            return None
        problem = _text_problem(value) or _quotes_problem(value)
        if problem:
            self.refuse(name, problem)
            return None
        return value

    def choice(self, name: str, allowed: tuple[str, ...], default: str) -> str | None:
        """Return one of `allowed`; `default` if the variable is unset, None if it was refused."""
        value = self.optional(name)
        if value is None:
            return None if name in self.variables else default
        if value not in allowed:
            self.refuse(name, f"valeur inconnue. Valeurs possibles : {', '.join(allowed)}")
            return None
        return value

    def whole_number(self, name: str, most: int) -> int | None:
        """Return a whole number from 0 to `most`; None if the variable is unset or was refused."""
        value = self.optional(name)
        if value is None:
            return None
        if not re.fullmatch(r"[0-9]{1,3}", value) or int(value) > most:
            self.refuse(name, f"doit être un nombre entier de 0 à {most}, sans unité")
            return None
        return int(value)

    def seconds(self, name: str, default: float) -> float:
        """Return a positive duration of an hour at most; `default` if the variable is unset or was refused."""
        value = self.optional(name)
        if value is None:
            return default
        if not re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,3})?", value) or not 0 < float(value) <= _HOUR:
            self.refuse(name, f"doit être un nombre de secondes, de 0.001 à {_HOUR}, sans unité")
            return default
        return float(value)

    def https_url(self, name: str, default: str | None) -> str | None:
        """Return a plain https URL; `default` if the variable is unset, None if it was refused."""
        value = self.optional(name)
        if value is None:
            return None if name in self.variables else default
        problem = next(filter(None, map(_placeholder_problem, value.split("/"))), None) or _url_problem(value)
        if problem:
            self.refuse(name, problem)
            return None
        return value

    def supabase_url(self) -> str | None:
        """Return the Supabase project's URL without a final slash; None if it is unset or was refused."""
        url = self.https_url("SUPABASE_URL", None)
        return url.rstrip("/") if url else None

    def secret(self, name: str, *, production: bool) -> str | None:
        """Return a required value from `name` or from the file that `<name>_FILE` points to."""
        value = self._from_variable_or_file(name)
        if value is None:
            return None
        origin = name if name in self.variables else f"{name}_FILE"
        problem = _text_problem(value) or _placeholder_problem(value)
        if not problem and origin == name:
            problem = _quotes_problem(value, f", ou par {name}_FILE s'ils en font partie")
        if not problem and production and value in EXAMPLE_VALUES:
            problem = "c'est la valeur d'exemple du guide. Mettez celle qu'InTouch vous a envoyée"
        if problem:
            self.refuse(origin, problem)
            return None
        return value

    def database_url(self) -> str | None:
        """Return the database's address from `DATABASE_URL` or its file; None if it is unset or was refused."""
        value = self._from_variable_or_file("DATABASE_URL", is_required=False)
        if value is None:
            return None
        origin = "DATABASE_URL" if "DATABASE_URL" in self.variables else "DATABASE_URL_FILE"
        problem = _text_problem(value) or _quotes_problem(value)
        if not problem and _EXAMPLE_URL.search(value):
            problem = "contient encore le texte à remplacer (YOUR_…)"
        if problem:
            self.refuse(origin, problem)
            return None
        return value

    def _from_variable_or_file(self, name: str, *, is_required: bool = True) -> str | None:
        file_name = f"{name}_FILE"
        if name in self.variables and file_name in self.variables:
            self.refuse(name, f"définie deux fois, aussi par {file_name}. Gardez l'une des deux")
            return None
        if file_name not in self.variables:
            if name not in self.variables and is_required:
                self.refuse(
                    name,
                    f"manquante. Définissez-la dans l'environnement, dans .env, ou {file_name} = un fichier",
                )
            return self.variables.get(name)
        path = self.optional(file_name)
        if path is None:
            return None
        try:
            content = Path(path).read_bytes().decode("utf-8")
        except OSError as error:
            self.refuse(file_name, f"fichier illisible ({error.strerror})")
        except UnicodeDecodeError:
            self.refuse(file_name, "le fichier n'est pas de l'UTF-8")
        else:
            # Editors and `echo` end a file with one newline that is no part of the secret.
            return re.sub(r"\r?\n\Z", "", content)
        return None


def _text_problem(value: str) -> str | None:
    if not value:
        return "vide. Donnez une valeur, ou retirez la variable"
    if _CONTROL.search(value):
        return "contient un caractère de contrôle (retour à la ligne, tabulation…)"
    if value != value.strip() or "Cf" in {unicodedata.category(value[0]), unicodedata.category(value[-1])}:
        return "commence ou finit par une espace ou un caractère invisible"
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        return "n'est pas de l'UTF-8"
    return None


def _quotes_problem(value: str, otherwise: str = "") -> str | None:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
        return f"entre guillemets, que docker --env-file garde par exemple. Écrivez la valeur sans eux{otherwise}"
    return None


def _placeholder_problem(value: str) -> str | None:
    if _PLACEHOLDER.match(value):
        return "contient encore le texte à remplacer (YOUR_…)"
    return None


def _url_problem(value: str) -> str | None:
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return "n'est pas une adresse valable. Attendu : https://hôte"
    if parts.scheme != "https":
        return "doit commencer par https://"
    if "@" in parts.netloc:
        return "ne doit porter ni utilisateur ni mot de passe"
    if "?" in value or "#" in value:
        return "ne doit porter ni paramètre (?) ni ancre (#)"
    usable = _HOST.fullmatch(parts.hostname or "") and re.fullmatch(r"[!-~]*", parts.path)
    if not usable or (port is not None and not 0 < port <= _HIGHEST_PORT):
        return "n'est pas une adresse valable. Attendu : https://hôte"
    return None
