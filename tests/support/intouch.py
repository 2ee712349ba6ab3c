"""A stand-in for InTouch: HTTPS on the loopback, certified by its own authority; the agency chooses the answer."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import trustme

from tests.support.settings import SECRETS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

USERNAME, PASSWORD = SECRETS["INTOUCH_USERNAME"], SECRETS["INTOUCH_PASSWORD"]
EXPECTED = {name: SECRETS[f"INTOUCH_{name.upper()}"] for name in ("partner_id", "login_api", "password_api")}
ACCEPTED = {"status": None, "amount": 988750, "errorCode": "200", "errorMessage": "SUCCESSFUL"}
WRONG_USER = "The request requires user authentication"
WRONG_AGENCY = "The provided context does not match the agent's sale point."
WRONG_LOGIN = " No agent found with the provided credentials"
LARGE = 100 * 1024 * 1024  # bytes

BASIC = 'Basic realm="touchpay"'
DIGEST = 'Digest realm="touchpay", qop="auth", nonce="bm9uY2U=", algorithm='


class InTouch(ThreadingHTTPServer):
    """The server; `asked` has the path and headers of each request, `sent` the bytes of the last large answer."""

    daemon_threads = True

    def __init__(self, authority: trustme.CA) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.sent = 0
        self.closing = threading.Event()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost").configure_cert(context)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def base_url(self, agency: str, host: str = "localhost") -> str:
        return f"https://{host}:{self.server_address[1]}/apidist/sec/{agency}/"

    def handle_error(self, *_: Any) -> None:  # noqa: ANN401 -- a client that leaves is what some tests are about
        pass


@contextmanager
def intouch(directory: Path) -> Iterator[tuple[InTouch, Path]]:
    """Serve; return the server and the file of its authority, which the client has to trust."""
    authority = trustme.CA()
    certificate = directory / "authority.pem"
    authority.cert_pem.write_to_path(str(certificate))
    with InTouch(authority) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server, certificate
        finally:
            server.closing.set()
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: InTouch

    def log_message(self, *_: Any) -> None:  # noqa: ANN401
        pass

    def do_POST(self) -> None:
        self.body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, dict(self.headers)))
        agency = self.path.split("/")[-2]
        if agency in CHALLENGES:
            self.after_a_challenge(CHALLENGES[agency])
        else:
            ANSWERS[agency](self)

    def after_a_challenge(self, challenges: tuple[str, ...]) -> None:
        if self.is_authorized() and json.loads(self.body) == EXPECTED:
            self.answer(200, ACCEPTED)
        else:
            self.answer(401, {"message": WRONG_USER}, *(("WWW-Authenticate", challenge) for challenge in challenges))

    def is_authorized(self) -> bool:
        """Check Basic, and Digest as RFC 7616 says."""
        scheme, _, given = self.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            return given == base64.b64encode(f"{USERNAME}:{PASSWORD}".encode()).decode()
        field = {name: value.strip('"') for name, value in re.findall(r'(\w+)=("[^"]*"|[^,]+)', given)}
        digest = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}.get(field.get("algorithm", ""))
        if scheme != "Digest" or digest is None or field["uri"] != self.path:
            return False

        def hashed(*parts: str) -> str:
            return digest(":".join(parts).encode()).hexdigest()

        owner, action = hashed(USERNAME, "touchpay", PASSWORD), hashed("POST", self.path)
        expected = hashed(owner, "bm9uY2U=", field["nc"], field["cnonce"], "auth", action)
        return bool(field["response"] == expected)

    def answer(self, status: int, document: object, *headers: tuple[str, str], length: int | None = None) -> None:
        """Answer with JSON, or with text as it stands; `length`: another one than it has."""
        content = (document if isinstance(document, str) else json.dumps(document)).encode()
        self.send_response(status)
        for name, value in (*headers, ("Content-Length", str(length or len(content)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def large(self, status: int) -> None:
        """Answer with 100 MB, as far as somebody reads them."""
        self.server.sent = 0
        self.send_response(status)
        self.send_header("Content-Length", str(LARGE))
        self.end_headers()
        while self.server.sent < LARGE:
            self.wfile.write(bytes(64 * 1024))
            self.server.sent += 64 * 1024

    def pay(self) -> None:
        """Answer to a payment or a message, of somebody who says who he is."""
        body = json.loads(self.body)
        if self.is_authorized() and body | EXPECTED == body and body["partner_transaction_id"]:
            self.answer(200, {"status": "PROCESSING", "errorMessage": "En cours"})
        else:
            self.answer(401, {"message": WRONG_USER})

    def silent(self) -> None:
        self.server.closing.wait(10)

    def not_http(self) -> None:
        self.wfile.write(b"SSH-2.0-OpenSSH_9.2\r\n")

    def drip(self) -> None:
        """Answer a byte at a time, each sooner than a client waits for one, and never to the end."""
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not self.server.closing.wait(0.05):
            self.wfile.write(b".")

    def echo(self) -> None:
        """Repeat all that was sent, in the headers and in the text."""
        given = self.headers.get("Authorization")
        if given is None:
            self.answer(401, "", ("WWW-Authenticate", BASIC))
        else:
            text = self.body.decode()
            self.answer(500, {"message": f"{given} {text}"}, ("X-Echo", f"{given} {text}"), ("Set-Cookie", f"a={text}"))


CHALLENGES = {
    "basic": (BASIC,),
    "digest": (f"{DIGEST}MD5",),
    "sha256": (f"{DIGEST}SHA-256",),
    "both": (BASIC, f"{DIGEST}SHA-256"),
    "odd-digest": (f"{DIGEST}ROT13", BASIC),
    "unsaid": (),
    "bearer": ("Bearer",),
}


def _always(status: int, document: object, *headers: tuple[str, str]) -> Callable[[_Handler], None]:
    return lambda handler: handler.answer(status, document, *headers)


ANSWERS: dict[str, Callable[[_Handler], None]] = {
    "decimals": _always(200, {**ACCEPTED, "amount": 1250.75}),
    "text-amount": _always(200, {**ACCEPTED, "amount": "1250.75"}),
    "wrong-user": _always(401, {"errorCode": "401", "errorMessage": WRONG_USER}, ("WWW-Authenticate", BASIC)),
    "wrong-user-page": _always(401, f"<html><h3>{WRONG_USER}</h3></html>", ("WWW-Authenticate", BASIC)),
    "wrong-partner": _always(401, {"message": "Unauthorized partner"}, ("WWW-Authenticate", BASIC)),
    "wrong-partner-400": _always(400, {"description": "Bad request"}),
    "wrong-agency": _always(400, {"detailMessage": WRONG_AGENCY}),
    "wrong-login": _always(200, {"errorCode": "300", "errorMessage": WRONG_LOGIN, "amount": 0}),
    "failed": _always(200, {"errorCode": "204", "errorMessage": "Server error", "amount": 0}),
    "page": _always(200, "<html><title>Portail\x1b[31m Wi-Fi</title><p>Connectez-vous &amp; payez</p></html>"),
    "page-400": _always(400, "<html>Bad Request</html>"),
    "not-found": _always(404, "no such agency"),
    "no-amount": _always(200, {"errorCode": "200", "errorMessage": "SUCCESSFUL"}),
    "amount-of-words": _always(200, {**ACCEPTED, "amount": "beaucoup"}),
    "amount-true": _always(200, {**ACCEPTED, "amount": True}),
    "amount-nan": _always(200, '{"amount": NaN, "errorCode": "200", "errorMessage": "SUCCESSFUL"}'),
    "amount-endless": _always(200, '{"amount": 1e999999, "errorCode": "200", "errorMessage": "SUCCESSFUL"}'),
    "amount-overflow": _always(200, '{"amount": 1e9999999, "errorCode": "200", "errorMessage": "SUCCESSFUL"}'),
    "amount-unreadable": _always(200, '{"amount": 1e99999999999999999999, "errorCode": "200"}'),
    "no-code": _always(200, {"amount": 988750, "errorMessage": "SUCCESSFUL"}),
    "contradiction": _always(200, {**ACCEPTED, "errorMessage": "FAILED"}),
    "deep": _always(200, "[" * 60000),
    "empty": _always(200, ""),
    "list": _always(200, [ACCEPTED]),
    "redirect": _always(302, "", ("Location", "/apidist/sec/basic/get_balance")),
    "pay": _Handler.pay,
    "cut": lambda handler: handler.answer(200, '{"amount": 98', length=1000),
    "large": lambda handler: handler.large(200),
    "large-401": lambda handler: handler.large(401),
    "silent": _Handler.silent,
    "drip": _Handler.drip,
    "echo": _Handler.echo,
    "not-http": _Handler.not_http,
}
