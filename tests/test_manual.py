"""The manual says what the program does: every command, field, code and model of one is in both."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import msgspec
import pytest
import typer
from ruamel.yaml import YAML
from typer.core import TyperGroup

from kintsugi.cli.main import app
from kintsugi.gateway.answers import REFUSALS
from kintsugi.model import config
from kintsugi.policy.diagnostics import CODES
from kintsugi.policy.reasons import REASONS
from kintsugi.policy.rules import KINDS
from kintsugi.simulator.script import BUILT_IN, Response, Rule, Script

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
FENCE = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+)`")
# Environment before the command, which stands in .venv/bin where nothing is activated.
COMMAND = re.compile(r"(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?kt (?P<words>.+)")
REDIRECTION = {">", ">>", "<", "|", "&&", ";"}


class Line(NamedTuple):
    """A command line as the manual prints it, without ``kt`` itself."""

    page: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: kt {' '.join(self.words)}"


def command_lines(texts: Iterator[tuple[str, str]]) -> list[Line]:
    """What stands on lines of their own, each line once for each page."""
    found: dict[Line, None] = {}
    for page, text in texts:
        for line in text.replace("\\\n", " ").splitlines():
            if match := COMMAND.fullmatch(line.strip()):
                words = shlex.split(match["words"], comments=True)
                end = next((n for n, word in enumerate(words) if word in REDIRECTION), len(words))
                found[Line(page, tuple(words[:end]))] = None
    return list(found)


def blocks() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for block in FENCE.findall(page.read_text(encoding="utf-8")):
            yield page.relative_to(ROOT).as_posix(), block


def spans() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for span in SPAN.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
            yield page.relative_to(ROOT).as_posix(), span


def resolve(words: tuple[str, ...]) -> tuple[Any, list[str]]:
    """The command that the words lead to, and the words that are its arguments."""
    command: Any = typer.main.get_command(app)
    rest = list(words)
    while isinstance(command, TyperGroup) and rest and not rest[0].startswith("-"):
        context = typer.Context(command)
        inner = command.get_command(context, rest[0])
        assert inner is not None, f"there is no command {rest[0]}"
        command = inner
        del rest[0]
    return command, rest


@pytest.mark.parametrize("line", command_lines(blocks()), ids=str)
def test_every_command_line_can_be_typed_as_printed(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for word in line.words:  # some commands ask at once whether their file is there
        if re.fullmatch(r"[\w-]+\.\w+", word):
            (tmp_path / word).touch()
    command, arguments = resolve(line.words)
    assert not isinstance(command, TyperGroup), "a command of this group is missing"
    command.make_context("kt", arguments)  # parses and converts, and runs nothing


@pytest.mark.parametrize("line", command_lines(spans()), ids=str)
def test_every_command_that_is_mentioned_exists_with_its_options(line: Line) -> None:
    command, arguments = resolve(line.words)
    known = {name for item in command.params for name in (*item.opts, *item.secondary_opts)}
    mentioned = {word.partition("=")[0] for word in arguments if word.startswith("-")}
    assert mentioned - {"--help", "--"} <= known


def test_command_lines_are_found_at_all() -> None:
    lines = [line.words for line in command_lines(blocks())]
    assert ("events", "tail", "--since", "1h", "--verdict", "blocked", "--json") in lines
    assert len(lines) > 10


def test_every_make_target_that_is_mentioned_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    texts = [text for _, text in (*blocks(), *spans())]
    lines = [line for text in texts for line in text.splitlines() if line.startswith("make ")]
    assert lines
    for line in lines:
        assert {word for word in line.split("#")[0].split()[1:] if "=" not in word} <= targets


FIELDS = [
    pytest.param(page, kind, id=f"{kind.__name__} in {page}")
    for page, kinds in {
        "configuration.md": (
            config.Pack,
            config.Gateway,
            config.GatewayKey,
            config.Target,
            config.SecretRef,
            config.Suite,
            config.Case,
            config.CaseInput,
            config.CaseExpected,
        ),
        "testing.md": (config.CaseInput, config.CaseExpected),
        "simulator.md": (Script, Rule, Response),
    }.items()
    for kind in kinds
]


def words_of_code(page: str) -> set[str]:
    """Every name that a page sets as code."""
    text = (DOCS / page).read_text(encoding="utf-8")
    code = [*FENCE.findall(text), *SPAN.findall(FENCE.sub("", text))]
    return {word for piece in code for word in re.findall(r"[\w.-]+", piece)} | {
        word for piece in code for word in re.findall(r"\w+", piece)
    }


@pytest.mark.parametrize(("page", "kind"), FIELDS)
def test_every_key_that_a_file_may_have_is_explained(page: str, kind: type[msgspec.Struct]) -> None:
    assert {field.encode_name for field in msgspec.structs.fields(kind)} <= words_of_code(page)


def test_every_default_of_the_gateway_is_the_one_in_the_manual() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| `?([^|`]+?)`? \|", (DOCS / "configuration.md").read_text(), re.MULTILINE
    )
    told = dict(rows)
    for field in msgspec.structs.fields(config.Gateway):
        shown = f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
        assert told[field.encode_name] == ("none" if field.default in ((), None) else shown)


def test_every_way_in_which_the_gateway_says_no_is_explained() -> None:
    text = (DOCS / "gateway.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([\w.]+)` \| (\d{3}) \|", text, re.MULTILINE))
    missing = {code: str(refused.status) for code, refused in REFUSALS.items()}.items()
    assert missing <= rows.items()
    assert {"input_blocked", "output_blocked", "escalation_required"} <= rows.keys()


def test_every_model_of_the_simulator_is_explained() -> None:
    assert BUILT_IN.keys() <= words_of_code("simulator.md")


@pytest.mark.parametrize("code", CODES)
def test_every_lint_code_has_a_page(code: str) -> None:
    page = (DOCS / "lint" / f"{code}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# {code}: {CODES[code]}\n")


def test_no_page_explains_a_lint_code_that_is_gone() -> None:
    assert {page.stem for page in (DOCS / "lint").glob("*.md")} == CODES.keys()


def test_the_generated_pages_hold_every_reason_policy_and_command() -> None:
    hooks = made_by_hooks()
    reasons, policies = hooks.reasons(), hooks.policies()
    assert all(f"| `{code}` |" in reasons for code in REASONS)
    assert all(f"`{kind}`" in policies or f"# {kind}" in policies for kind in KINDS)
    assert "## `kt events tail`" in hooks.command_line()


def made_by_hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("manual_hooks", DOCS / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_page_stands_in_the_navigation() -> None:
    pages = {page.name for page in DOCS.glob("*.md")}
    navigation = YAML(typ="safe").load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    assert pages <= set(files_in(navigation))


def files_in(navigation: Any) -> Iterator[str]:
    match navigation:
        case str():
            yield navigation
        case dict():
            for inner in navigation.values():
                yield from files_in(inner)
        case list():
            for inner in navigation:
                yield from files_in(inner)


def test_the_changelog_has_a_place_for_what_comes() -> None:
    headings = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[0] == "Unreleased"
