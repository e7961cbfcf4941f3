"""Generated reference pages: the manual is built from what the program says of itself."""

from __future__ import annotations

from pathlib import Path

import typer
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from typer._click import Command, Context  # Typer's own copy; it offers no other way in
from typer.core import TyperGroup, TyperOption

from kintsugi.api.app import build_api
from kintsugi.api.permissions import Access, Role, Scope, allows, scopes_of
from kintsugi.cli.main import app
from kintsugi.cli.policy_schema import schema_text
from kintsugi.model.notice_types import NOTICE_TYPES
from kintsugi.policy.json_schema import SCHEMA_FILE
from kintsugi.policy.reasons import REASONS
from kintsugi.policy.standards import ATLAS_VERSION, NAMES
from kintsugi.store.memory import memory_stores

ROOT = Path(__file__).parents[1]
EXIT_CODES = (
    "Exit codes everywhere: 0 fine; 1 the tool could not run; 2 usage, or warnings with "
    "`--fail-level warning`; 3 the thing checked is wrong."
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages under reference/, made from the code."""
    pages = {
        "reference/cli.md": command_line(),
        "reference/policies.md": policies(),
        "reference/reasons.md": reasons(),
        "reference/lint.md": lint_codes(),
        "reference/templates.md": templates(),
        "reference/routes.md": routes(),
        "reference/roles.md": roles(),
        "reference/notices.md": notices(),
        f"reference/{SCHEMA_FILE}": schema_text(),
    }
    for path, text in pages.items():
        files.append(File.generated(config, path, content=text))
    return files


def command_line() -> str:
    """Every command with its help text and options, from the Typer application itself."""
    lines = ["# Command line", "", EXIT_CODES, ""]
    _describe(typer.main.get_command(app), "kt", lines)
    return "\n".join(lines)


def _describe(command: Command, name: str, lines: list[str]) -> None:
    context = Context(command, info_name=name)
    lines += [f"## `{name}`", "", (command.help or "").strip(), ""]
    if isinstance(command, TyperGroup):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None and not found.hidden:
                _describe(found, f"{name} {child}", lines)
        return
    lines += [f"    {' '.join([name, *command.collect_usage_pieces(context)])}", ""]
    options = [item for item in command.params if isinstance(item, TyperOption) and not item.hidden]
    if options:
        lines += ["| option | meaning |", "|---|---|"]
        for option in options:
            names = ", ".join(f"`{spelling}`" for spelling in option.opts + option.secondary_opts)
            lines.append(f"| {names} | {(option.help or '').replace('|', '/')} |")
        lines.append("")


def routes() -> str:
    """Every route of the control plane with its scope, from the OpenAPI document itself."""
    api = build_api(memory_stores(), state_dir=ROOT)
    lines = ["# Routes", "", "| route | scope | what |", "|---|---|---|"]
    for path, operations in api.openapi()["paths"].items():
        for method, operation in operations.items():
            scope = operation.get("x-kt-permission", "none")
            what = operation["description"].splitlines()[0]
            lines.append(f"| `{method.upper()} {path}` | `{scope}` | {what} |")
    return "\n".join(lines)


def notices() -> str:
    """Every type of notice, from the registry."""
    lines = ["# Types of notices", "", "What they are: [Notices](../notices.md).", ""]
    for name, declared in NOTICE_TYPES.items():
        lines += [f"## `{name}`", "", f"{declared.text} Severity where it has none of its own: "]
        lines[-1] += f"`{declared.severity}`."
        lines += ["", "| field | meaning |", "|---|---|"]
        lines += [f"| `{field}` | {text} |" for field, text in declared.fields.items()]
        lines.append("")
    return "\n".join(lines)


def roles() -> str:
    """Which role may use which route, from the routes and the roles themselves."""
    api = build_api(memory_stores(), state_dir=ROOT)
    lines = [
        "# Roles and routes",
        "",
        "Every route that asks for a scope. Tests try each of them with each role.",
        "",
        f"| route | {' | '.join(role.value for role in Role)} |",
        f"|---|{'---|' * len(Role)}",
    ]
    for path, operations in api.openapi()["paths"].items():
        for method, operation in operations.items():
            wanted = operation["x-kt-permission"]
            if wanted in {access.value for access in Access}:
                continue
            marks = [
                "yes" if allows(scopes_of([role.value]), Scope(wanted)) else "" for role in Role
            ]
            lines.append(f"| `{method.upper()} {path}` | {' | '.join(marks)} |")
    return "\n".join(lines)


def policies() -> str:
    """The page of every policy kind, which stands beside its code."""
    folder = ROOT / "src/kintsugi/policy/rules"
    pages = [page.read_text() for page in sorted(folder.glob("*/page.md"))]
    intro = "# Policies\n\nEach page stands beside the code and the cases of its policy.\n"
    return "\n\n".join([intro, *(_deeper(page) for page in pages)])


def reasons() -> str:
    """The registry of reason codes."""
    rows = [
        f"| `{reason.code}` | {reason.title}. {reason.meaning} | {reason.help} |"
        for reason in REASONS.values()
    ]
    places = [
        f"| `{reason.code}` | {_places(reason.owasp_llm)} | {_places(reason.owasp_agentic)} "
        f"| {_places(reason.atlas)} | {reason.unmapped} |"
        for reason in REASONS.values()
    ]
    return "\n".join(
        [
            "# Reason codes",
            "",
            "Also `kt reasons`.",
            "",
            "| code | meaning | what to do |",
            "|---|---|---|",
            *rows,
            "",
            "## In public lists",
            "",
            f"OWASP LLM 2025, OWASP Agentic 2026 (1.0), ATLAS {ATLAS_VERSION}: ids and names.",
            "",
            "| code | OWASP LLM | OWASP Agentic | ATLAS | why a list has no place for it |",
            "|---|---|---|---|---|",
            *places,
        ]
    )


def _places(ids: tuple[str, ...]) -> str:
    return "<br>".join(f"{place} {NAMES[place]}" for place in ids)


def lint_codes() -> str:
    """The page of every lint code."""
    pages = [page.read_text() for page in sorted((ROOT / "docs/lint").glob("*.md"))]
    return "\n\n".join(["# Lint codes\n", *(_deeper(page) for page in pages)])


def templates() -> str:
    """The page of every template, and the configuration itself."""
    intro = """# Templates

`kt init --template NAME` writes one of these with test cases that pass, and the JSON Schema for
your editor; `kt init --list` names them. Each lints clean, and its cases make every policy both
act and stay quiet (`kt policy test --threshold 100`).
"""
    pages = []
    for folder in sorted((ROOT / "src/kintsugi/policy/templates").iterdir()):
        source = (folder / "policy-config.yaml").read_text()
        pages.append(f"{_deeper((folder / 'page.md').read_text())}\n\n```yaml\n{source}```")
    return "\n\n".join([intro, *pages])


def _deeper(page: str) -> str:
    return "\n".join(f"#{line}" if line.startswith("#") else line for line in page.splitlines())
