"""The ready-made pipeline files: valid, and their steps do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from ruamel.yaml import YAML

from tests.support.checkout import BIN, ROOT
from tests.support.deployments import STATE
from tests.support.settings import SECRETS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.database import Database

DEPLOY = ROOT / "docs" / "deploy"
WORKFLOW: dict[str, Any] = YAML(typ="safe").load(DEPLOY / "github-actions.yml")
AGENCY = "https://apidist.gutouch.net/apidist/sec/AG01/"
BASE_URL = "select key_value from api_keys where key_name = 'base_url'"
JOB: dict[str, Any] = YAML(typ="safe").load(DEPLOY / "kubernetes-job.yml")


@pytest.fixture(autouse=True)
def _checkout(tmp_path: Path) -> None:
    """Make the current directory look like a checkout, without a developer's `.env`."""
    for name in ("alembic.ini", "migrations"):
        (tmp_path / name).symlink_to(ROOT / name)


INSTALL = [
    "pip install --require-hashes -r requirements/deploy.txt",
    "pip install --no-deps --no-build-isolation -e .",
]


def run_job(name: str, database: Database) -> None:
    """Execute the `run` steps of a job in order, as the runner does, each with its environment."""
    secrets = {
        "DATABASE_URL": database.address, "INTOUCH_ENVIRONMENT": "production", "INTOUCH_BASE_URL": AGENCY, **SECRETS,
    }  # fmt: skip
    steps = [step for step in WORKFLOW["jobs"][name]["steps"] if "run" in step]
    assert [step["run"] for step in steps[:2]] == INSTALL
    for step in steps[2:]:
        environment = {
            variable: re.sub(r"\$\{\{ (?:secrets|vars)\.(\w+) \}\}", lambda match: secrets[match[1]], value)
            for variable, value in step["env"].items()
        }
        result = subprocess.run(
            ["/bin/bash", "-eo", "pipefail", "-c", step["run"]],
            env={"PATH": f"{BIN}:{os.defpath}", **environment}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert result.returncode == 0, (step, result.stdout, result.stderr)


def test_the_workflow_is_valid() -> None:
    subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.github-workflows",
         str(DEPLOY / "github-actions.yml")],
        check=True,
    )  # fmt: skip


def test_the_workflow_has_no_known_weakness() -> None:
    subprocess.run([f"{BIN}/zizmor", "--offline", "--quiet", str(DEPLOY / "github-actions.yml")], check=True)


def test_deploy_activate_deploy_roll_back_deploy(database_at: Callable[[str], Database]) -> None:
    """A deployment never switches InTouch on, whether it was on or off before; a rollback may be repeated."""
    database = database_at("empty")
    run_job("schema", database)
    assert database.rows(STATE) == [("0007", 0, 0)]
    run_job("activate", database)
    assert database.rows(STATE) == [("0008", 7, 6)]
    run_job("schema", database)
    assert database.rows(STATE) == [("0008", 7, 6)]
    for _ in range(2):
        run_job("rollback", database)
        assert database.rows(STATE) == [("0007", 0, 0)]
    run_job("schema", database)
    assert database.rows(STATE) == [("0007", 0, 0)]
    run_job("activate", database)
    assert database.rows(STATE) == [("0008", 7, 6)]
    assert database.value(BASE_URL) == AGENCY


def test_secrets_stand_at_the_step_that_needs_them() -> None:
    """Actions, and the code that a package's installation runs, see none of them."""
    for name, job in WORKFLOW["jobs"].items():
        assert "env" not in job, name
        for step in job["steps"]:
            needs = any(word in step.get("run", "") for word in ("alembic", "montoit-db"))
            assert ("secrets." in str(step)) == needs, step
            assert "secrets." not in step.get("run", ""), "a shell would show it"
    assert "env" not in WORKFLOW


def test_what_is_run_is_named_by_its_content() -> None:
    """Actions by their commit, images by their digest, packages by hashes, from whatever index the machine has."""
    used = [step["uses"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", action) for action in used)
    dockerfile = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^FROM \S+@sha256:[0-9a-f]{64}$", dockerfile, re.MULTILINE)
    (container,) = JOB["spec"]["template"]["spec"]["containers"]
    assert "@sha256:" in container["image"]
    for command in INSTALL:
        flags = command.replace("pip install ", "pip install --no-cache-dir ")
        assert flags in dockerfile
    lock = (ROOT / "requirements" / "deploy.txt").read_text(encoding="utf-8")
    assert "://" not in lock, "no index's address"
    blocks = re.split(r"\n(?=[a-z])", re.sub(r"(?m)^ *#.*\n", "", lock).strip())
    locked = {re.split(r"[=\[ ]", block)[0] for block in blocks}
    assert all("--hash=sha256:" in block for block in blocks)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert {re.split(r"[\[>]", name)[0] for name in [*project["dependencies"], "hatchling"]} <= locked


def test_what_changes_services_is_approved() -> None:
    for name, job in WORKFLOW["jobs"].items():
        steps = " ".join(step.get("run", "") for step in job["steps"])
        changes = any(word in steps for word in ("upgrade head", "intouch@", "downgrade"))
        assert changes == (job["environment"] == "intouch"), name
        assert changes == ("inputs.action" in job["if"]), name


def test_the_kubernetes_job_works_from_mounted_files(database_at: Callable[[str], Database], tmp_path: Path) -> None:
    """Its arguments and environment, with the mount moved to where this test may write."""
    database = database_at("0007")
    (container,) = JOB["spec"]["template"]["spec"]["containers"]
    (mount,) = container["volumeMounts"]
    for variable, secret in SECRETS.items():
        (tmp_path / variable.removeprefix("INTOUCH_").lower()).write_text(secret)
    environment = {
        item["name"]: item["value"].replace(mount["mountPath"], str(tmp_path)).replace("YOUR_AGENCY", "AG01")
        for item in container["env"]
        if "value" in item
    }
    assert {item["name"] for item in container["env"] if "valueFrom" in item} == {"DATABASE_URL"}
    entry = re.search(r'^ENTRYPOINT \["(\w+)"\]$', (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert entry is not None
    result = subprocess.run(
        [f"{BIN}/{entry[1]}", *container["args"]],
        env={"PATH": os.defpath, "DATABASE_URL": database.address, **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert database.rows(STATE) == [("0008", 7, 6)]
    assert database.value(BASE_URL) == AGENCY


def test_the_kubernetes_job_asks_for_little() -> None:
    pod = JOB["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (JOB["apiVersion"], JOB["kind"], JOB["spec"]["backoffLimit"]) == ("batch/v1", "Job", 0)
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert not any(secret in str(JOB) for secret in SECRETS.values())


def test_images_are_named_by_their_digest() -> None:
    for path in DEPLOY.glob("kubernetes-*.yml"):
        (image,) = re.findall(r"^ +image: (\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        assert "@sha256:" in image, path.name


def test_the_image_runs_as_nobody_in_particular_and_has_all_it_copies() -> None:
    lines = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines()
    sent = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert (sent[0], sent[-1]) == ("*", "**/.env*"), "nothing goes into the image unasked, and no .env at all"
    user = next(line for line in lines if line.startswith("USER "))
    assert int(user.split()[1]) > 0
    for line in lines:
        if line.startswith("COPY "):
            assert all((ROOT / source).exists() for source in line.split()[1:-1]), line
            assert all(f"!{source}" in sent for source in line.split()[1:-1]), line


@pytest.mark.parametrize("start", ["0007", "0008"])
def test_upgrading_to_the_schema_leaves_the_activation_alone(
    database_at: Callable[[str], Database], start: str
) -> None:
    database = database_at(start)
    before = database.rows(STATE)
    run_job("schema", database)
    assert database.rows(STATE) == before
