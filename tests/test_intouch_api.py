"""The client of InTouch's API: a loopback HTTPS server gives it every answer that is known, and worse ones."""

from __future__ import annotations

import base64
import logging
import ssl
import time
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import pytest

from montoit_db.intouch.api import Answer, get_balance
from montoit_db.intouch.catalogue import CREDENTIALS
from tests.support.intouch import ANSWERS, CHALLENGES, LARGE, PASSWORD, USERNAME, InTouch, intouch
from tests.support.settings import SECRETS

if TYPE_CHECKING:
    from collections.abc import Iterator

IMPATIENT = 0.5  # seconds


class Stand(NamedTuple):
    """The server, and the certificates that prove it."""

    server: InTouch
    certificate: Path
    context: ssl.SSLContext


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    with TemporaryDirectory() as directory, intouch(Path(directory)) as (server, certificate):
        yield Stand(server, certificate, ssl.create_default_context(cafile=certificate))


def credentials(base_url: str) -> dict[str, str]:
    secrets = {credential.key_name: SECRETS.get(credential.variable, base_url) for credential in CREDENTIALS}
    return {**secrets, "base_url": base_url}


def ask(stand: Stand, agency: str, *, seconds: float = 5, **other: str) -> Answer:
    given = credentials(stand.server.base_url(agency)) | other
    return get_balance(given, seconds=seconds, verify=stand.context)


@pytest.mark.parametrize(
    ("agency", "scheme"),
    [
        ("basic", "Basic"),
        ("digest", "Digest"),
        ("sha256", "Digest"),
        ("both", "Digest"),
        ("odd-digest", "Basic"),
        ("unsaid", "Basic"),
    ],
)
def test_credentials_are_accepted_as_the_server_asks_for_them(stand: Stand, agency: str, scheme: str) -> None:
    stand.server.asked.clear()
    assert ask(stand, agency) == Answer("accepted", Decimal(988750), status=200)
    first, second = (headers.get("Authorization", "") for _, headers in stand.server.asked)
    assert (first, second.split()[0]) == ("", scheme), "nothing is said of the password before the server asks"
    wrong = ask(stand, agency, password="another")
    assert (wrong.outcome, wrong.suspects) == ("refused", ("username", "password"))


def test_a_question_that_nobody_understands_is_not_answered(stand: Stand) -> None:
    stand.server.asked.clear()
    answer = ask(stand, "bearer")
    assert (answer.outcome, answer.status) == ("unknown", 401)
    assert [headers.get("Authorization") for _, headers in stand.server.asked] == [None]


@pytest.mark.parametrize(("agency", "amount"), [("decimals", "1250.75"), ("text-amount", "1250.75")])
def test_a_balance_may_have_decimals(stand: Stand, agency: str, amount: str) -> None:
    assert ask(stand, agency) == Answer("accepted", Decimal(amount), status=200)


@pytest.mark.parametrize(
    ("agency", "suspects"),
    [
        ("wrong-user", ("username", "password")),
        ("wrong-user-page", ("username", "password")),
        ("wrong-partner", ("username", "password", "partner_id")),
        ("wrong-partner-400", ("partner_id", "login_api", "password_api")),
        ("wrong-agency", ("login_api", "password_api", "base_url")),
        ("wrong-login", ("login_api", "password_api")),
    ],
)
def test_a_refusal_names_what_it_can_be(stand: Stand, agency: str, suspects: tuple[str, ...]) -> None:
    answer = ask(stand, agency)
    assert (answer.outcome, answer.suspects, answer.balance) == ("refused", suspects, None)
    assert answer.words


@pytest.mark.parametrize(
    ("agency", "status", "told"),
    [
        ("page", 200, "Portail [31m Wi-Fi Connectez-vous & payez"),
        ("page-400", 400, "Bad Request"),
        ("failed", 200, "Server error"),
        ("not-found", 404, "no such agency"),
        ("no-amount", 200, "SUCCESSFUL"),
        ("amount-of-words", 200, "SUCCESSFUL"),
        ("amount-true", 200, "SUCCESSFUL"),
        ("amount-nan", 200, '{"amount": NaN'),
        ("amount-endless", 200, "SUCCESSFUL"),
        ("amount-overflow", 200, "SUCCESSFUL"),
        ("amount-unreadable", 200, '{"amount": 1e9'),
        ("no-code", 200, "SUCCESSFUL"),
        ("contradiction", 200, "FAILED"),
        ("deep", 200, "[[[["),
        ("empty", 200, ""),
        ("list", 200, '[{"status": null'),
        ("redirect", 302, "une redirection"),
        ("cut", None, "la réponse est coupée"),
        ("not-http", None, "n'est pas du HTTP"),
        ("large", 200, "une réponse de plus de 64 Kio"),
        ("large-401", 401, "une réponse de plus de 64 Kio"),
        ("echo", 500, ""),
    ],
)
def test_what_cannot_be_read_is_unknown(stand: Stand, agency: str, status: int | None, told: str) -> None:
    stand.server.asked.clear()
    answer = ask(stand, agency)
    assert (answer.outcome, answer.balance, answer.suspects) == ("unknown", None, ())
    assert answer.status == status
    shown = answer.reason + answer.words
    assert told in shown if told else not shown
    assert "\x1b" not in shown
    assert {path for path, _ in stand.server.asked} == {f"/apidist/sec/{agency}/get_balance"}, "no redirect is followed"


def test_a_large_answer_is_not_read(stand: Stand) -> None:
    ask(stand, "large")
    assert 0 < stand.server.sent < LARGE / 10


@pytest.mark.parametrize("agency", ["silent", "drip"])
def test_a_server_that_takes_its_time_does_not_get_it(stand: Stand, agency: str) -> None:
    start = time.monotonic()
    answer = ask(stand, agency, seconds=IMPATIENT)
    assert time.monotonic() - start < 4 * IMPATIENT
    assert answer == Answer("unreachable", reason="aucune réponse complète en 0.5 secondes")


def test_only_a_server_that_proves_its_name_is_asked(stand: Stand) -> None:
    stand.server.asked.clear()
    unproven = [
        get_balance(credentials(stand.server.base_url("basic"))),
        get_balance(credentials(stand.server.base_url("basic", "127.0.0.1")), verify=stand.context),
    ]
    assert {answer.outcome for answer in unproven} == {"unreachable"}
    assert all("certificat" in answer.reason for answer in unproven)
    assert stand.server.asked == []


@pytest.mark.parametrize(
    ("base_url", "told"),
    [
        ("https://127.0.0.1:1/apidist/sec/a/", "personne ne répond"),
        ("https://nowhere.invalid/apidist/sec/a/", "hôte inconnu"),
    ],
)
def test_nobody_answers(base_url: str, told: str) -> None:
    answer = get_balance(credentials(base_url), seconds=5)
    assert (answer.outcome, told in answer.reason) == ("unreachable", True)


def test_a_proxy_or_a_file_of_certificates_that_cannot_be_used(stand: Stand, monkeypatch: pytest.MonkeyPatch) -> None:
    given = credentials(stand.server.base_url("basic"))
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    assert get_balance(given).outcome == "unreachable"
    monkeypatch.setenv("SSL_CERT_FILE", str(stand.certificate))
    assert get_balance(given).outcome == "accepted"
    for proxy in ("nonsense://canary-proxy", "http://canary-proxy@127.0.0.1:1"):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        answer = get_balance(given)
        assert answer.outcome == "unreachable"
        assert "canary" not in repr(answer)


def test_nothing_shows_a_credential(
    stand: Stand, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever is answered, also by a server that repeats all that it was sent."""
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "httpcore.connection", "httpcore.http11"):
        caplog.set_level(logging.DEBUG, logger=name)
    shown = []
    for agency in [*CHALLENGES, *ANSWERS]:
        answer = ask(stand, agency, seconds=5 if agency not in {"silent", "drip"} else 0.2)
        shown.append(f"{answer} {answer!r}")
    out, err = capfd.readouterr()
    everything = "\n".join([*shown, caplog.text, *map(repr, caplog.records), out, err])
    assert "selector" in caplog.text, "logs are caught"
    basic = base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
    assert not any(secret in everything for secret in [*SECRETS.values(), basic])
