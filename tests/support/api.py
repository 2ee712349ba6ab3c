"""Supabase's API as far as docs/EDGE_FUNCTIONS.md uses it: what supabase-js asks becomes SQL, run as who asks.

It is no PostgREST: four kinds of request, on a real database.
"""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from sqlalchemy.exc import DBAPIError

from montoit_db.database import make_engine
from tests.support.callers import CALLERS, USER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.database import Database

TOKENS = {"Bearer token-of-user": CALLERS["user"], "Bearer service-key": CALLERS["service"]}


@contextmanager
def api(database: Database) -> Iterator[str]:
    """Serve the API of a database; return its URL."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.database = database  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:  # noqa: ANN401
        pass

    def do_GET(self) -> None:
        assert self.path == "/auth/v1/user"
        known = self.headers["Authorization"] in TOKENS
        self.answer(200 if known else 401, {"id": USER, "aud": "authenticated"} if known else {"msg": "no"})

    def do_POST(self) -> None:
        url = urlsplit(self.path)
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = url.path.rsplit("/", 1)[1]
        if "/rpc/" in url.path:
            arguments = ", ".join(f"{argument} => %({argument})s" for argument in body)
            sql, parameters = f"select to_jsonb(public.{name}({arguments}))", body
        else:
            columns = ", ".join(body)
            values = f"select {columns} from jsonb_populate_record(null::public.{name}, %(body)s)"
            parameters = {"body": json.dumps(body)}
            if self.command == "PATCH":
                sql = f"update public.{name} set ({columns}) = ({values})"
                filters = dict(parse_qsl(url.query))
                returning = filters.pop("select", "null::text")
                for column, wanted in filters.items():
                    operator, _, value = wanted.partition(".")
                    assert operator in {"eq", "in"}
                    parameters[column] = value.strip("()") if operator == "in" else value
                    one = f"%({column})s"
                    sql += " and " if " where " in sql else " where "
                    sql += f"{column} = {one}" if operator == "eq" else f"{column} = any (string_to_array({one}, ','))"
                sql += f" returning to_jsonb({returning})"
            else:
                sql = f"insert into public.{name} ({columns}) {values} returning null"
        self.run(sql, parameters, one="/rpc/" in url.path)

    do_PATCH = do_POST  # noqa: N815 -- the standard library's name

    def run(self, sql: str, parameters: dict[str, Any], *, one: bool) -> None:
        caller = TOKENS.get(self.headers["Authorization"], CALLERS["anon"])
        database: Database = self.server.database  # type: ignore[attr-defined]
        try:
            with make_engine(database.url).begin() as connection:
                connection.exec_driver_sql(f"set local role {caller.role}")
                connection.exec_driver_sql("select set_config('request.jwt.claims', %(c)s, true)", {"c": caller.claims})
                rows = connection.exec_driver_sql(sql, parameters).scalars().all()
        except DBAPIError as error:
            self.answer(400, {"code": getattr(error.orig, "sqlstate", None), "message": "refused"})
        else:
            self.answer(200, rows[0] if one else [{"row": row} for row in rows])

    def answer(self, status: int, document: object) -> None:
        content = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
