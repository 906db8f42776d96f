"""The pages: every link leads somewhere, every command in them exists with its flags, every command names its page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from edgefit_toolkit.cli.main import COMMANDS, cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = re.compile(r"(?:^(?: {4}|\$ |    \$ )|`)(edgefit(?: [^`\n#]*)?)", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What its headings are called in links."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def commands(page: Path) -> list[str]:
    """The command lines of a page, in code blocks and in running text."""
    return [found.strip() for found in EXAMPLES.findall(page.read_text())]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{page.name}: {target}"
        assert there.is_relative_to(ROOT), f"{page.name}: {target}"
        if anchor:
            assert anchor in anchors(there), f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist_with_their_flags(page: Path) -> None:
    for line in commands(page):
        words = [word for word in shlex.split(line)[1:] if word != "..."]
        name = "fit" if not words or words[0].startswith("-") else words.pop(0)
        if words[:1] in (["--help"], ["--version"]) or (name not in COMMANDS and not words and name.isupper()):
            continue
        command = cli.get_command(click.Context(cli), name)
        assert command is not None, f"{page.name}: {line}"
        if isinstance(command, click.Group) and words and not words[0].startswith("-"):
            command = command.get_command(click.Context(command), words.pop(0))
            assert command is not None, f"{page.name}: {line}"
        known = {flag for parameter in command.params for flag in parameter.opts} | {"--help", "-h"}
        used = {word.partition("=")[0] for word in words if word.startswith("-")}
        assert used <= known, f"{page.name}: {line}: {used - known}"


def test_every_command_names_its_page() -> None:
    for name, (_, page, _) in COMMANDS.items():
        assert (ROOT / "docs" / f"{page}.md").is_file()
        said = CliRunner().invoke(cli, [name, "--help"])
        assert said.exit_code == 0, said.output
        assert f"docs/{page}.md" in said.output
        assert "Exit codes:" in said.output


def test_every_page_is_linked_from_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert f"docs/{page.name}" in readme, page.name


def test_the_map_names_what_is_there() -> None:
    found = re.findall(r"`((?:toolkit|converters|benchmarks|tests)/[^`]*)`", (ROOT / "CONTRIBUTING.md").read_text())
    assert len(found) > 20
    for path in found:
        assert (ROOT / path).exists(), path
