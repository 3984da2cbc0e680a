# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the Ansible community package that can be checked here: docs/inclusion.md has them all."""

from __future__ import annotations

import ast
import importlib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.plumbing.socketpipe.plugins.doc_fragments.attributes import ModuleDocFragment

from tests.workshop import address, cores, pictures, recording, release, tree

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "plugins"
MODULES = sorted(path for path in PLUGINS.glob("modules/*.py"))
# of those that ansible-core and the package know, what this collection uses
DIRECTORIES = {"action", "doc_fragments", "module_utils", "modules", "plugin_utils"}
LARGE = 1_000_000  # bytes
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def block(module: Path, name: str) -> Any:
    """DOCUMENTATION, EXAMPLES or RETURN of a module."""
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
            return yaml.safe_load(ast.literal_eval(node.value))
    raise AssertionError(f"{module.name} has no {name}")


def settings(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def every_option(options: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, option in options.items():
        yield name, option
        yield from every_option(option.get("suboptions", {}))


@pytest.mark.parametrize(
    "name",
    ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "docs/inclusion.md", "docs/releases.md"],
)
def test_each_link_to_a_file_leads_to_one(name: str) -> None:
    path = ROOT / name
    found = LINK.findall(path.read_text(encoding="utf-8"))
    assert found and [link for link in found if not (path.parent / link).exists()] == []


def test_every_rule_has_a_state_and_evidence() -> None:
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in (ROOT / "docs/inclusion.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and not line.startswith(("| **", "| rule", "| ---"))
    ]
    assert len(rows) > 30 and all(len(row) == 4 and row[0] and row[3] for row in rows)
    assert {row[1] for row in rows} == {"MUST", "MUST NOT", "SHOULD", ""}
    assert {row[2] for row in rows} == {"met", "open", "policy", "by request", "by nature"}
    # what is open is what a release still lacks, and the release itself
    assert [row[0] for row in rows if row[2] == "open"][:2] == ["a public git repository", "maintainers who answer"]


def test_the_idempotent_modules_are_named() -> None:
    [row] = re.findall(r"^\| idempotency \| (.*)", (ROOT / "docs/inclusion.md").read_text(encoding="utf-8"), re.M)
    named = re.findall(r"`(\w+)`", row.partition("met by ")[2].partition(", as far")[0])
    support = {module.stem: block(module, "DOCUMENTATION")["attributes"]["idempotent"]["support"] for module in MODULES}
    assert named == [name for name in support if support[name] != "none"]


def test_the_directories_of_plugins() -> None:
    assert {path.name for path in PLUGINS.iterdir() if path.name != "__pycache__"} == DIRECTORIES


def test_private_utils_are_named_as_such() -> None:
    for folder in ("module_utils", "plugin_utils"):
        names = {path.name for path in (PLUGINS / folder).iterdir()} - {"__init__.py", "__pycache__"}
        assert names and all(name.startswith("_") for name in names)
    assert "`plugin_utils` is private" in (ROOT / "docs/releases.md").read_text(encoding="utf-8")


def test_galaxy_and_runtime() -> None:
    galaxy = settings("galaxy.yml")
    assert galaxy["tags"] and not galaxy.get("dependencies") and galaxy["license"] == ["GPL-3.0-or-later"]
    assert settings("meta/runtime.yml")["requires_ansible"] == f">={next(iter(cores.CORES))}.0"


def test_files_are_small_and_there_is_no_ignore_file() -> None:
    names = tree.sources()
    assert [name for name in names if (ROOT / name).stat().st_size > LARGE] == []
    assert [name for name in names if name.startswith("tests/sanity/ignore")] == []


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
class TestModule:
    def test_it_is_documented_with_full_names(self, module: Path) -> None:
        documentation = block(module, "DOCUMENTATION")
        assert documentation["module"] == module.stem and documentation["version_added"]
        assert all(name.startswith("plumbing.socketpipe.") for name in documentation["extends_documentation_fragment"])
        assert block(module, "EXAMPLES") and block(module, "RETURN")
        text = module.read_text(encoding="utf-8")
        assert [name for name in re.findall(r"\bM\(([^)]+)\)", text) if name.count(".") != 2] == []

    def test_its_hosts_are_described(self, module: Path) -> None:
        documentation = block(module, "DOCUMENTATION")
        assert documentation["attributes"]["platform"]["platforms"] == "linux"
        assert "plumbing.socketpipe.attributes" in documentation["extends_documentation_fragment"]
        described = yaml.safe_load(ModuleDocFragment.DOCUMENTATION)["attributes"]["platform"]["description"]
        assert "Python 3.6 or later" in " ".join(described)

    def test_it_queries_nothing_by_a_state(self, module: Path) -> None:
        assert "state" not in dict(every_option(block(module, "DOCUMENTATION").get("options", {})))

    def test_one_that_informs_has_check_mode(self, module: Path) -> None:
        if module.stem.endswith(("_info", "_facts")):
            assert block(module, "DOCUMENTATION")["attributes"]["check_mode"]["support"] == "full"

    def test_it_sets_no_fact_by_itself(self, module: Path) -> None:
        documentation = block(module, "DOCUMENTATION")
        facts = documentation["attributes"]["facts"]["support"]
        if "ansible_facts" not in block(module, "RETURN"):
            assert facts == "none"
        else:
            assert facts == "partial" and documentation["options"]["fact"]["default"] is False


def test_the_workflow_calls_make_with_every_core() -> None:
    workflow = settings(".github/workflows/ci.yml")
    assert set(workflow["on"]) == {"push", "pull_request", "schedule"} and workflow["on"]["push"]["tags"]
    jobs = workflow["jobs"]
    assert jobs["core"]["strategy"]["matrix"]["core"] == [*cores.CORES, cores.DEVEL]
    steps = [step for job in jobs.values() for step in job["steps"]]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for step in steps:
        if "run" in step:
            target = re.match(r"sudo make (\w+)", step["run"])
            assert target and (f"\n{target[1]}:" in makefile)
        else:
            assert step["uses"].startswith("actions/checkout@")


def test_the_pictures_are_those_that_make_pictures_writes() -> None:
    there = {path.stem: path.read_text(encoding="utf-8") for path in pictures.FOLDER.glob("*.svg")}
    assert {name: text for name, text in there.items() if name != recording.FILE.stem} == pictures.PICTURES
    pages = "".join(
        path.read_text(encoding="utf-8") for path in [ROOT / "README.md", *ROOT.glob("docs/docsite/rst/*.rst")]
    )
    assert [name for name in there if f"pictures/{name}.svg" not in pages] == []


# -- the public address


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in {address.GALAXY, address.MAINTAINERS, *address.FOLLOW}:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_every_link_follows_from_the_address(project: Path) -> None:
    assert address.wrong() == address.wrong(project) == []
    replace(project / "galaxy.yml", "repository: https://example.org/", "repository: https://git.socketpipe.test/")
    assert len(address.wrong(project)) == len(address.FOLLOW)
    texts = address.follow(project)
    for name, text in texts.items():
        (project / name).write_text(text, encoding="utf-8")
    assert address.wrong(project) == [] and "example.org" not in "".join(texts.values())


def test_no_other_file_has_the_address() -> None:
    quoted = [
        name
        for name in tree.sources()
        if name.endswith((".md", ".rst", ".yml", ".py")) and not name.startswith("tests/")
        if address.repository() in (ROOT / name).read_text(encoding="utf-8")
    ]
    assert quoted == sorted(address.FOLLOW)


def test_a_candidate_comes_before_its_release() -> None:
    newest_first = ["1.10.0", "1.2.0", "1.0.1-rc.1", "1.0.0", "1.0.0-rc.10", "1.0.0-rc.1", "0.9.10"]
    assert sorted(newest_first, key=release.number) == newest_first[::-1]
    assert release.number(release.galaxy_version()) >= release.number("1.0.0-rc.1")


def test_what_a_release_lacks_is_named(project: Path) -> None:
    address_lacks, maintainers_lack = (
        "the project has no public address: set repository in galaxy.yml, then make address",
        "MAINTAINERS.md names nobody",
    )
    for name in (address.GALAXY, address.MAINTAINERS):  # whatever this repository has by now
        (project / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    replace(project / "galaxy.yml", f"repository: {address.repository()}", "repository: https://example.org/a/b")
    (project / address.MAINTAINERS).write_text("| name | account | since |\n| --- | --- | --- |\n", encoding="utf-8")
    assert address.missing(project) == [address_lacks, maintainers_lack]
    replace(project / "galaxy.yml", "repository: https://example.org/a/b", "repository: https://git.socketpipe.test/a")
    assert address.missing(project) == [maintainers_lack]
    replace(project / address.MAINTAINERS, "| --- | --- | --- |\n", "| --- | --- | --- |\n| Ann | ann | 2027 |\n")
    assert address.missing(project) == []


# -- documentation that leads with what matters


@pytest.mark.parametrize("name", ["pipe", "pipeline", "transfer", "tape_backup"])
def test_a_page_leads_with_the_options_that_matter(name: str) -> None:
    module = importlib.import_module(f"ansible_collections.plumbing.socketpipe.plugins.modules.{name}")
    options = yaml.safe_load(module.DOCUMENTATION)["options"]
    [lead] = [text for text in yaml.safe_load(module.DOCUMENTATION)["description"][:2] if "need only" in text]
    assert 1 <= len(re.findall(r"O\((\w+)\)", lead)) <= 5
    required = [option for option, said in options.items() if said.get("required")]
    assert set(required) <= set(re.findall(r"O\((\w+)\)", lead))
