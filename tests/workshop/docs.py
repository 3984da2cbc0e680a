# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation, built as a site in .build/docs/build/html. python -m tests.workshop.docs VENV"""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

from .programs import Wrong, run, search_path
from .venvs import BUILD, ROOT

NAME = "plumbing.socketpipe"
SITE = BUILD / "docs"
# labels of Ansible's own documentation: their inventory cannot be fetched without a network
THEIRS = re.compile(r"undefined label: '(ansible_collections\.ansible\.|ansible_|action_plugins|common_return_values)")

# a table in columns, or YAML, must not be wrapped; messages, long names and the cells of tables must be
STYLE = """
div[class*=highlight-]:not(.highlight-console) pre { white-space: pre; overflow-x: auto }
#recipes .highlight-text pre { white-space: pre-wrap }
.rst-content code { white-space: normal; overflow-wrap: anywhere }
.rst-content .wy-table-responsive table.docutils :is(td, th) { white-space: normal; min-width: 8em }
.rst-content .wy-table-responsive code { overflow-wrap: normal }
"""


def pages() -> list[str]:
    """The pages that have to be there."""
    modules = [f"{path.stem}_module" for path in ROOT.glob("plugins/modules/*.py")]
    roles = [f"{path.parents[1].name}_role" for path in ROOT.glob("roles/*/meta/argument_specs.yml")]
    guides = [f"docsite/{path.stem}" for path in ROOT.glob("docs/docsite/rst/*.rst")]
    return [f"{page}.html" for page in ["index", *sorted(modules), *sorted(roles), *sorted(guides)]]


def copy_pictures(script: Path) -> None:
    """antsibull-docs copies only text: between its run and that of Sphinx the pictures follow."""
    text = script.read_text(encoding="utf-8")
    before, sphinx, after = text.partition("sphinx-build ")
    if not sphinx:
        raise Wrong(f"{script.name} does not call sphinx-build")
    pictures = shlex.quote(str(ROOT / "docs" / "docsite" / "rst" / "pictures"))
    script.write_text(f"{before}cp -r {pictures} rst/docsite/\n{sphinx}{after}", encoding="utf-8")


def build(path: str) -> list[str]:
    """Returns what is wrong with the site."""
    shutil.rmtree(SITE, ignore_errors=True)
    SITE.mkdir(parents=True)
    look = ["--sphinx-theme", "sphinx_ansible_theme", "--title", NAME, "--project", NAME]
    look += ["--copyright", f"the {NAME} contributors"]
    kind = ["--use-current", "--squash-hierarchy", "--fail-on-error", "--lenient"]
    run(["antsibull-docs", "sphinx-init", *kind, *look, "--dest-dir", SITE, NAME], PATH=path)
    (SITE / "own").mkdir()
    (SITE / "own" / "own.css").write_text(STYLE, encoding="utf-8")
    with open(SITE / "conf.py", "a", encoding="utf-8") as settings:
        settings.write("\nintersphinx_mapping = {}  # would be fetched\n")
        settings.write('html_static_path = ["own"]\nhtml_css_files = ["own.css"]\n')
    copy_pictures(SITE / "build.sh")
    said = run(["./build.sh"], SITE, PATH=path)
    (SITE / "build.log").write_text(said, encoding="utf-8")
    warnings = [line for line in said.splitlines() if re.search("WARNING|ERROR", line) and not THEIRS.search(line)]
    return warnings + [f"there is no page {page}" for page in pages() if not (SITE / "build/html" / page).exists()]


def main() -> int:
    (venv,) = sys.argv[1:]
    try:
        problems = build(search_path(Path(venv)))
    except Wrong as exc:
        problems = [str(exc)]
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if not problems:
        print(f"{len(pages())} pages: {(SITE / 'build/html/index.html').relative_to(ROOT)}")
    return int(bool(problems))


if __name__ == "__main__":
    raise SystemExit(main())
