"""What surrounds the code names things that exist: hooks, the workflow, the issue forms, glossary, decisions, CONTRIBUTING."""

from __future__ import annotations

import importlib
import pkgutil
import re
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import watchdog

REPOSITORY = Path(__file__).parents[3]
FORMS = sorted((REPOSITORY / ".github/ISSUE_TEMPLATE").glob("*.yml"))
WORKFLOWS = sorted((REPOSITORY / ".github/workflows").glob("*.yml"))
EXPRESSIONS = {
    f" {one} "
    for one in (
        "github.workflow",
        "github.ref",
        "github.server_url",
        "github.repository",
        "github.token",
        "github.event_name == 'pull_request'",
        "runner.os",
        "hashFiles('tests/e2e/harness/releases.py', 'tests/e2e/harness/install.py')",
    )
}
DECISIONS = sorted((REPOSITORY / "docs/decisions").glob("0*.md"))
GLOSSARY = REPOSITORY / "docs/glossary.md"
CONTRIBUTING = REPOSITORY / "CONTRIBUTING.md"
PACKAGES = "|".join(module.name for module in pkgutil.iter_modules(watchdog.__path__) if module.ispkg)


def _yaml(name: str | Path) -> Any:
    return YAML(typ="safe", pure=True).load(REPOSITORY / name)


def _exists(name: str) -> bool:
    """``core.evidence.Truth``: the longest module, and what follows in it."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            module = importlib.import_module(".".join(("watchdog", *parts[:end])))
        except ModuleNotFoundError:
            continue
        try:
            reduce(getattr, parts[end:], module)
        except AttributeError:
            return False
        return True
    return False


def test_the_hooks_use_the_ruff_of_make_check() -> None:
    (pinned,) = re.findall(r"^ruff==(.+)$", (REPOSITORY / "constraints.txt").read_text("utf-8"), re.MULTILINE)
    revisions = {one["repo"].rpartition("/")[2]: one["rev"] for one in _yaml(".pre-commit-config.yaml")["repos"]}
    assert revisions["ruff-pre-commit"] == f"v{pinned}"


def test_the_workflow_runs_the_whole_proof_with_no_rights() -> None:
    workflow = _yaml(".github/workflows/ci.yml")
    assert workflow["permissions"] == {"contents": "read"}
    (job,) = workflow["jobs"].values()
    assert job["timeout-minutes"] == 90
    assert job["steps"][-1]["run"] == ".ci/run"
    used = {name: step.get("with", {}) for step in job["steps"] if (name := step.get("uses"))}
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", name) for name in used), used
    (versions,) = [given["python-version"].split() for given in used.values() if "python-version" in given]
    project = (REPOSITORY / "pyproject.toml").read_text("utf-8")
    assert f'requires-python = ">={versions[-1]}"' in project, "the last is python3, the others are asked for by name"
    assert sorted(versions) == re.findall(r'"Programming Language :: Python :: ([\d.]+)"', project)
    asked = re.findall(r"\bon_python ([\d.]+)", (REPOSITORY / ".ci/run").read_text("utf-8"))
    assert set(asked) == set(versions[:-1])


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_is_one(workflow: Path) -> None:
    """What its schema (a hook of pre-commit) cannot say: what it names is there, and it has no right that is not asked for."""
    read, text = _yaml(workflow), workflow.read_text("utf-8")
    assert read["permissions"] == {"contents": "read"}
    assert set(re.findall(r"\$\{\{(.+?)\}\}", text)) <= EXPRESSIONS, "nothing that somebody else may write"
    targets = re.findall(r"^([a-z0-9-]+):.*##", (REPOSITORY / "Makefile").read_text("utf-8"), re.MULTILINE)
    for name, job in read["jobs"].items():
        assert job["timeout-minutes"] <= 90, name
        assert job.get("needs", name) in read["jobs"]
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step), step
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/it@v1")), step
            assert step.get("with", {}).get("persist-credentials") is False or "checkout" not in step.get("uses", "")
            for line in re.findall(r"^make (.+)$", step.get("run", ""), re.MULTILINE):
                assert set(line.split()) <= set(targets), line


def test_a_release_is_proved_built_attested_and_left_to_a_person() -> None:
    workflow = _yaml(".github/workflows/release.yml")
    assert workflow["on"] == {"push": {"tags": ["v*"]}}
    prove, build, draft = workflow["jobs"].values()
    assert (build["needs"], draft["needs"]) == ("prove", "build")
    assert "permissions" not in prove, "what runs the tests may write nothing and sign nothing"
    assert build["permissions"] == {"contents": "read", "id-token": "write", "attestations": "write"}
    assert draft["permissions"] == {"contents": "write"}
    assert "checkout" not in str(draft), "what may write runs nothing of the repository"
    assert "--draft" in draft["steps"][-1]["run"]
    order = [step.get("run") or step["uses"].partition("@")[0] for step in build["steps"]]
    assert order[2:] == [
        "make release",
        *(f"actions/{one}" for one in ("attest-build-provenance", "attest-sbom", "upload-artifact")),
    ]
    recipe = (REPOSITORY / "Makefile").read_text("utf-8").partition("\nrelease:")[2].partition("\n\n")[0]
    sbom = next(step["with"]["sbom-path"] for step in build["steps"] if "sbom" in step.get("uses", ""))
    assert f"--output-file {sbom} " in recipe
    variable = next(iter(next(step["env"] for step in build["steps"] if "env" in step)))
    assert f'"{variable}"' in (REPOSITORY / "hatch_build.py").read_text("utf-8")


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.stem)
def test_an_issue_form_is_one(form: Path) -> None:
    read = _yaml(form)
    assert {"name", "description", "body"} <= set(read)
    asked = [one for one in read["body"] if one["type"] != "markdown"]
    assert len({one["id"] for one in asked}) == len(asked)
    assert all(one["attributes"]["label"] for one in asked)
    assert any(one.get("validations", {}).get("required") for one in asked)


@pytest.mark.parametrize("document", [GLOSSARY, *DECISIONS], ids=lambda path: path.stem)
def test_every_name_in_the_code_exists(document: Path) -> None:
    named = re.findall(rf"`((?:{PACKAGES})\.[\w.]+)`", document.read_text("utf-8"))
    assert named or document in DECISIONS
    assert [name for name in named if not _exists(name)] == []


def test_a_name_that_is_gone_is_noticed() -> None:
    assert _exists("core.evidence.Truth")
    assert not _exists("core.evidence.Falsehood")
    assert not _exists("core.nothing.Truth")


def test_every_decision_is_in_the_index_under_a_number_of_its_own() -> None:
    index = (REPOSITORY / "docs/decisions/README.md").read_text("utf-8")
    assert len({decision.name[:4] for decision in DECISIONS}) == len(DECISIONS)
    for decision in DECISIONS:
        text = decision.read_text("utf-8")
        assert decision.name in index
        assert text.startswith(f"# {decision.name[:4]}: ")
        assert re.findall(r"^## (.+)$", text, re.MULTILINE) == ["Context", "Choice", "Consequence"], decision.name


def test_every_file_that_contributing_names_exists() -> None:
    there = [
        path
        for folder in ("watchdog", "openclaw_simulator", "tests", "config", "docs")
        for path in (REPOSITORY / folder).rglob("*.*")
    ]
    there += REPOSITORY.glob("*.py")
    named = re.findall(r"`([\w./*-]+\.(?:py|yaml|json))`", CONTRIBUTING.read_text("utf-8"))
    assert len(named) > 20
    assert [name for name in named if not any(path.match(name) for path in there)] == []


def test_what_contributing_says_decides_something_is_there() -> None:
    """A row may name several functions of a file: `file`: `one`, `two`."""
    named = re.findall(r"`([\w./]+\.py)`: (`\w+`(?:, `\w+`)*)", CONTRIBUTING.read_text("utf-8"))
    pairs = [(file, name) for file, names in named for name in re.findall(r"\w+", names)]
    assert len(pairs) > 15
    missing = [
        (file, name)
        for file, name in pairs
        if not re.search(
            rf"^\s*(?:async )?def {name}\(|^{name} = ",
            (REPOSITORY / "watchdog" / file).read_text("utf-8"),
            re.MULTILINE,
        )
    ]
    assert missing == []
