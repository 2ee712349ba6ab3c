"""docs/EDGE_FUNCTIONS.md: its TypeScript type-checks and works with supabase-js, its SQL runs as the role it names."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.exc import DBAPIError

from montoit_db.database import make_engine
from montoit_db.intouch.catalogue import STATUSES
from tests.support.api import api
from tests.support.callers import CALLERS, OTHER, USER, Caller, ask, claims
from tests.support.checkout import ROOT
from tests.support.intouch import InTouch, intouch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.database import Database

TEXT = (ROOT / "docs" / "EDGE_FUNCTIONS.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"```ts\n// supabase/functions/(\S+)\n(.*?)```", TEXT, re.DOTALL))
STATEMENTS = re.findall(r"```sql\n-- (\w+)\n(.*?)```", TEXT, re.DOTALL)
DENO = """
declare const Deno: {
  env: { get(name: string): string | undefined };
  serve(handler: (request: Request) => Response | Promise<Response>): void;
};
"""
# Deno, as far as the functions use it, and then each request in turn, to the function that it names.
RUN = """
globalThis.WebSocket ??= class {};
const handlers = {};
globalThis.Deno = { env: { get: (name) => process.env[name] }, serve: (handler) => (handlers.latest = handler) };
const answers = [];
for (const [name, query, token, body] of JSON.parse(process.argv[2])) {
  if (!handlers[name]) {
    await import(`./${name}/index.js`);
    handlers[name] = handlers.latest;
  }
  const headers = { Authorization: `Bearer ${token}` };
  const init = { method: 'POST', headers, body: JSON.stringify(body) };
  const request = new Request(`http://functions/${name}${query}`, init);
  const answer = await handlers[name](request).catch((error) => new Response(error.message, { status: 500 }));
  answers.push([answer.status, await answer.text()]);
}
console.log(JSON.stringify(answers));
const { intouchStatus } = await import('./_shared/intouch.js');
console.log(JSON.stringify([...process.argv.slice(3)].map((word) => intouchStatus(word))));
"""


def node_modules() -> Path:
    """Return npm's directory with TypeScript and supabase-js."""
    tsc = shutil.which("tsc")
    found = next((path for path in Path(tsc).resolve().parents if path.name == "node_modules"), None) if tsc else None
    if found is None or not (found / "@supabase" / "supabase-js").exists() or not shutil.which("node"):
        pytest.skip("needs Node, TypeScript and supabase-js: npm install typescript @supabase/supabase-js, tsc in PATH")
    return found


def compiled(directory: Path, files: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Type-check the functions as strictly as can be, and write them as JavaScript."""
    modules = node_modules()
    (directory / "node_modules").symlink_to(modules)
    (directory / "package.json").write_text('{"type": "module"}')
    (directory / "deno.d.ts").write_text(DENO)
    for path, code in files.items():
        file = directory / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(code.replace('"npm:@supabase/supabase-js@2"', '"@supabase/supabase-js"'), encoding="utf-8")
    return subprocess.run(
        [modules / ".bin" / "tsc", "--strict", "--noUncheckedIndexedAccess", "--noUnusedLocals", "--target", "es2023",
         "--lib", "es2023,dom,dom.iterable", "--module", "esnext", "--moduleResolution", "bundler", "--types", "",
         "--rewriteRelativeImportExtensions", "--skipLibCheck", "--noEmitOnError", "deno.d.ts", *files],
        cwd=directory, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def functions() -> Iterator[Path]:
    """The functions as JavaScript, which Node can run."""
    with TemporaryDirectory() as name:
        result = compiled(Path(name), FILES)
        assert result.returncode == 0, result.stdout
        (Path(name) / "run.mjs").write_text(RUN, encoding="utf-8")
        yield Path(name)


def test_a_misspelt_column_is_found(tmp_path: Path) -> None:
    """The control: the types of the document are the ones that supabase-js holds the calls against."""
    shared = FILES["_shared/intouch.ts"]
    spelt = shared.replace("payment_method: payment.method", "method: payment.method")
    assert spelt != shared
    assert (
        "error TS2322: Type 'Method' is not assignable to type 'never'"
        in compiled(tmp_path, {"_shared/intouch.ts": spelt}).stdout
    )


def test_the_types_have_the_columns_of_the_tables(schema_only: Database) -> None:
    block = re.search(r"type Answer = .*?Functions:", FILES["_shared/intouch.ts"], re.DOTALL)
    assert block
    named = {name for name in re.findall(r"\b([a-z_]+): ", block[0]) if name != "public" and not name.endswith("_logs")}
    columns = schema_only.rows("select column_name from information_schema.columns where table_name like '%\\_logs'")
    assert len(named) >= 14
    assert named - {name for (name,) in columns} == set()


class Running:
    """The functions, between Supabase's API on a real database and a stand-in for InTouch."""

    def __init__(self, directory: Path, url: str, stand: InTouch, certificate: Path) -> None:
        self.stand = stand
        self._directory = directory
        self._environment = {
            "SUPABASE_URL": url, "SUPABASE_ANON_KEY": "anon-key", "SUPABASE_SERVICE_ROLE_KEY": "service-key",
            "INTOUCH_CALLBACK_TOKEN": "callback-token", "NODE_EXTRA_CA_CERTS": str(certificate),
        }  # fmt: skip

    def ask(self, *requests: tuple[str, str, str, object], words: tuple[str, ...] = ()) -> tuple[list[Any], list[Any]]:
        """Return the status and text of each answer, and the status of each word."""
        self.stand.asked.clear()
        result = subprocess.run(
            [str(shutil.which("node")), "run.mjs", json.dumps(requests), *words],
            cwd=self._directory, env=self._environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
        answers, statuses = map(json.loads, result.stdout.splitlines())
        return answers, statuses


PAYMENT = {"amount": 1000, "phoneNumber": "+2250707070707", "provider": "orange_money"}
SMS = {"phoneNumber": "+2250707070707", "message": "Bonjour"}
PAY = ("intouch-payment", "", "token-of-user", PAYMENT)
SEND = ("intouch-sms", "", "token-of-user", SMS)


def called_back(word: str, reference: str, query: str = "?token=callback-token") -> tuple[str, str, str, object]:
    callback = {"partner_transaction_id": reference, "status": word}
    return ("intouch-webhook-handler", query, "", callback)


def test_the_switch_switches(functions: Path, activated: Database) -> None:
    """What is on is sent with the database's credentials and logged; after the rollback nothing is sent."""
    logged = "select status, status_code, user_id::text from payment_logs"
    with (
        TemporaryDirectory() as name,
        intouch(Path(name)) as (stand, certificate),
        api(activated) as url,
    ):
        activated.execute(f"update api_keys set key_value = '{stand.base_url('pay')}' where key_name = 'base_url'")
        running = Running(functions, url, stand, certificate)
        words = (*STATUSES, *map(str.lower, STATUSES), " SUCCESS ", "", "REFUNDED", "constructor")
        answers, statuses = running.ask(PAY, SEND, ("intouch-sms", "", "stranger", SMS), words=words)
        assert [status for status, _ in answers] == [200, 200, 401], answers
        assert [path.rsplit("/", 1)[1] for path, _ in stand.asked] == ["%E2%80%A6", "sms"]
        assert activated.rows(logged) == [("processing", 200, USER)]
        assert activated.rows("select status, raw_response ->> 'status' from sms_logs") == [("pending", "PROCESSING")]
        with make_engine(activated.url).connect() as connection:
            in_sql = connection.exec_driver_sql(
                "select array_agg(montoit.intouch_status(word) order by place)"
                " from unnest(%(words)s::text[]) with ordinality as given (word, place)",
                {"words": list(words)},
            ).scalar_one()
        assert statuses == in_sql == [*STATUSES.values(), *STATUSES.values(), "success", None, None, None]

        reference = activated.value("select partner_transaction_id from payment_logs")
        answers, _ = running.ask(
            called_back("SUCCESSFUL", reference, "?token=wrong"),
            called_back("SUCCESSFUL", "unknown"),
            called_back("REFUNDED", reference),
            called_back("SUCCESSFUL", reference),
            called_back("FAILED", reference),
        )
        assert [status for status, _ in answers] == [401, 404, 200, 200, 404], "a final status stays"
        assert activated.rows(logged) == [("success", 200, USER)]
        assert activated.value("select raw_callback ->> 'status' from payment_logs") == "SUCCESSFUL"

        activated.execute("select montoit.switch_off('test')")
        answers, _ = running.ask(PAY, SEND)
        assert [(status, "service désactivé" in text) for status, text in answers] == [(503, True)] * 2
        assert stand.asked == []
        # A flag that somebody switched on by hand finds no credentials.
        activated.execute("update feature_flags set is_enabled = true, requires_credentials = false")
        answers, _ = running.ask(SEND)
        assert answers == [[500, "InTouch est désactivé"]]
        assert stand.asked == []
        assert len(activated.rows(logged)) == 1
        everything = activated.rows("select p::text from payment_logs p union all select s::text from sms_logs s")
        assert "canary" not in str(everything)


def test_the_sql_of_each_call_runs_as_the_role_that_it_names(activated: Database) -> None:
    callers = {"authenticated": CALLERS["user"], "service_role": CALLERS["service"]}
    with make_engine(activated.url).connect() as connection:
        rows: list[Any] = []
        for role, sql in STATEMENTS:
            result = ask(connection.exec_driver_sql, callers[role], sql)
            rows.append([tuple(row) for row in result] if result.returns_rows else result.rowcount)
            connection.exec_driver_sql("reset role")
        other = Caller("authenticated", claims("authenticated", OTHER))
        assert ask(connection.exec_driver_sql, other, STATEMENTS[-1][1]).all() == []
    flag, of_a_user, keys, paid, answered, called, sent, own = rows
    assert flag == of_a_user == [(True,)]
    assert keys[0][0]["base_url"].startswith("https://")
    assert (paid, answered, called, sent) == (1, 1, [("MT-1",)], 1)
    assert own == [(1000, "success")]
    with make_engine(activated.url).connect() as connection:
        for role, sql in STATEMENTS:
            if role == "service_role" and "check_feature_flag" not in sql:  # which a user may ask for himself
                with pytest.raises(DBAPIError, match="permission denied"), connection.begin():
                    ask(connection.exec_driver_sql, CALLERS["user"], sql)
