"""InTouch's own API, asked the one question that moves no money: get_balance.

Written from what other integrations do, without access to InTouch: what this module does not recognise is unknown, and
never taken for yes or no. The HTTP library is the extra `intouch`.
"""

from __future__ import annotations

import asyncio
import base64
import html
import json
import logging
import re
import ssl
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NamedTuple
from urllib.parse import quote

import httpx

from montoit_db.display import on_one_line, shortened
from montoit_db.intouch.catalogue import CREDENTIALS, STATUSES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SECONDS = 20.0  # for the whole question, both requests included
MOST_BYTES = 64 * 1024  # of an answer
MOST_WORDS = 120  # characters of an answer that are shown
_MOST_AMOUNT = Decimal(10) ** 15

Outcome = Literal["accepted", "refused", "unreachable", "unknown"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What InTouch's answer allows to say of the six credentials.

    `balance` is set if they were accepted; InTouch names no currency. `suspects` are the key names of the credentials
    that a refusal can be about. `status` is HTTP's, None without an answer. `reason` says in French why nothing can be
    concluded. `words` are the first words of the answer: harmless to a terminal, and empty if they held a credential.
    """

    outcome: Outcome
    balance: Decimal | None = None
    suspects: tuple[str, ...] = ()
    status: int | None = None
    reason: str = ""
    words: str = ""


def get_balance(
    credentials: Mapping[str, str], *, seconds: float = SECONDS, verify: ssl.SSLContext | bool = True
) -> Answer:
    """Ask InTouch for the balance, which proves the credentials; whatever happens is an answer, not an exception.

    `credentials` maps the six key names to their values; the base URL names the agency. `seconds` bounds the whole
    question. `verify`: certificates come from SSL_CERT_FILE, else from certifi, unless a context is given. A proxy is
    taken from HTTPS_PROXY. Not to be called from a running event loop.
    """
    with _silent_logs():
        return asyncio.run(_answer(credentials, seconds, verify))


class _Received(NamedTuple):
    """An answer: its status, its text, and what a request showed of the credentials."""

    status: int
    text: str
    authorization: str


class _NoAnswerError(Exception):
    """No answer that can be read; the message, in French, says why."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.status = status


async def _answer(credentials: Mapping[str, str], seconds: float, verify: ssl.SSLContext | bool) -> Answer:  # noqa: FBT001
    try:
        async with asyncio.timeout(seconds), httpx.AsyncClient(verify=verify, timeout=seconds) as client:
            received = await _exchange(client, credentials)
    except (_NoAnswerError, OSError, httpx.HTTPError, httpx.InvalidURL, ImportError, ValueError) as error:
        return _without_answer(error, seconds)
    return _understood(received, credentials)


def _without_answer(error: Exception, seconds: float) -> Answer:
    match error:
        case _NoAnswerError():
            return Answer("unknown", status=error.status, reason=str(error))
        case TimeoutError() | httpx.TimeoutException():
            return Answer("unreachable", reason=f"aucune réponse complète en {seconds:g} secondes")
        case httpx.ConnectError():
            return Answer("unreachable", reason=_why(error))
        case httpx.HTTPError() if not isinstance(error, httpx.ProxyError):
            return Answer("unknown", reason="la réponse est coupée, ou n'est pas du HTTP")
    # httpx reads these variables when the client is made
    return Answer("unreachable", reason="l'adresse, HTTPS_PROXY ou SSL_CERT_FILE ne sont pas utilisables")


async def _exchange(client: httpx.AsyncClient, credentials: Mapping[str, str]) -> _Received:
    """Send the question; if the server asks who is there, answer as it asks, and send the question again."""
    request = client.build_request(
        "POST",
        f"{credentials['base_url'].rstrip('/')}/get_balance",
        json={name: credentials[name] for name in ("partner_id", "login_api", "password_api")},
        headers={"Accept": "application/json", "Accept-Encoding": "identity"},
    )
    response = await client.send(request, stream=True)
    if response.status_code == httpx.codes.UNAUTHORIZED:
        await response.aclose()
        request = _with_authorization(request, response, credentials["username"], credentials["password"])
        response = await client.send(request, stream=True)
    try:
        if response.is_redirect:
            raise _NoAnswerError("une redirection, qui n'est pas suivie", response.status_code)
        return _Received(response.status_code, await _text(response), request.headers.get("Authorization", ""))
    finally:
        await response.aclose()


def _with_authorization(
    request: httpx.Request, response: httpx.Response, username: str, password: str
) -> httpx.Request:
    """Return the request with what the server asks for, Digest or Basic; Basic, too, if it only says 401."""
    challenges = response.headers.get_list("WWW-Authenticate")
    schemes = {challenge.split(maxsplit=1)[0].lower() for challenge in challenges if challenge.strip()}
    if "digest" in schemes:
        flow = httpx.DigestAuth(username, password).auth_flow(request)
        next(flow)
        try:
            return flow.send(response)
        except (StopIteration, httpx.ProtocolError, NotImplementedError, LookupError, ValueError):
            pass
    if "basic" in schemes or not schemes:
        return next(httpx.BasicAuth(username, password).auth_flow(request))
    raise _NoAnswerError("le serveur demande une authentification qui n'est ni Basic ni Digest", response.status_code)


async def _text(response: httpx.Response) -> str:
    content = b""
    async for chunk in response.aiter_raw():  # not decompressed: a few bytes may become gigabytes
        content += chunk
        if len(content) > MOST_BYTES:
            raise _NoAnswerError(f"une réponse de plus de {MOST_BYTES // 1024} Kio", response.status_code)
    return content.decode("utf-8", errors="replace")


def _why(error: BaseException) -> str:
    """Return why no connection was made, from the errors behind httpx's."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return "le certificat du serveur n'est pas valable pour cet hôte, ou son autorité n'est pas connue"
        if isinstance(cause, ssl.SSLError):
            return "le serveur ne parle pas TLS"
        cause = cause.__cause__ or cause.__context__
    return "hôte inconnu, ou personne ne répond à ce port"


def _understood(received: _Received, credentials: Mapping[str, str]) -> Answer:
    """Say what an answer means. Sources: four public integrations, and an integrator's copy of InTouch's portal."""
    status = received.status
    document = _document(received.text)
    said = _said(document) if document else html.unescape(re.sub(r"<[^>]*>", " ", received.text))
    codes = {str(status), str(document.get("errorCode")) if document else ""}
    is_refusal = bool(document) or status in {httpx.codes.BAD_REQUEST, httpx.codes.UNAUTHORIZED}
    lower = said.lower()
    balance = _amount(document.get("amount")) if document else None
    outcome: Outcome = "refused"
    suspects: tuple[str, ...] = ()
    if is_refusal and "does not match the agent" in lower:
        suspects = ("login_api", "password_api", "base_url")
    elif is_refusal and "no agent found" in lower:
        suspects = ("login_api", "password_api")
    elif "401" in codes:
        by_http = not document or "requires user authentication" in lower
        suspects = ("username", "password") if by_http else ("username", "password", "partner_id")
    elif document and "400" in codes:
        suspects = ("partner_id", "login_api", "password_api")
    elif codes == {"200"} and balance is not None and _is_success(said):
        return Answer("accepted", balance, status=status)
    else:
        outcome = "unknown"
    words = _shown(said, received, credentials)
    return Answer(outcome, suspects=suspects, status=status, words=words)


def _document(text: str) -> dict[str, Any] | None:
    """Return the JSON object of an answer; None if it is none, or an empty one."""
    try:
        document = json.loads(text, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, ArithmeticError, RecursionError):
        return None
    return document if isinstance(document, dict) and document else None


def _refuse_constant(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are no JSON


def _said(document: Mapping[str, Any]) -> str:
    """Return the text of an answer, which each of InTouch's services calls by another name."""
    texts = (document.get(name) for name in ("errorMessage", "message", "description", "detailMessage"))
    return next((text for text in texts if isinstance(text, str) and text.strip()), "")


def _is_success(said: str) -> bool:
    return not said.strip() or STATUSES.get(said.strip().upper()) == "success"


def _amount(value: object) -> Decimal | None:
    """Return a balance; None if it cannot be read."""
    is_text = isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]{1,6})?", value)
    if isinstance(value, bool) or not (is_text or isinstance(value, (int, Decimal))):
        return None
    amount = Decimal(str(value))
    return amount if -_MOST_AMOUNT < amount < _MOST_AMOUNT else None  # abs() may overflow


def _shown(said: str, received: _Received, credentials: Mapping[str, str]) -> str:
    """Return the first words of an answer; nothing if a credential, in any spelling, stands anywhere in it."""
    words = shortened(on_one_line(said), MOST_WORDS)
    secrets = [credentials[credential.key_name] for credential in CREDENTIALS if credential.key_name != "base_url"]
    spellings = {spelling.lower() for secret in secrets for spelling in _spellings(secret)}
    spellings |= {token.lower() for token in re.findall(r"[\w+/=-]{16,}", received.authorization)}
    everything = f"{received.text}\n{said}\n{words}".lower()
    return "" if any(spelling in everything for spelling in spellings) else words


def _spellings(secret: str) -> Iterator[str]:
    raw = secret.encode()
    yield from (secret, html.escape(secret), quote(secret, safe=""), json.dumps(secret)[1:-1], raw.hex())
    yield base64.b64encode(raw).decode().rstrip("=")


_LOGGERS = ("httpx", "httpcore", "httpcore.connection", "httpcore.http11", "httpcore.proxy", "httpcore.socks")


@contextmanager
def _silent_logs() -> Iterator[None]:
    """Switch the library's loggers off: at DEBUG they print the server's headers, which may repeat what it was sent."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    were_disabled = [logger.disabled for logger in loggers]
    for logger in loggers:
        logger.disabled = True
    try:
        yield
    finally:
        for logger, was_disabled in zip(loggers, were_disabled, strict=True):
            logger.disabled = was_disabled
