"""Templates and their context classes agree, so that neither can drift alone."""

from __future__ import annotations

import inspect
import re
from importlib.resources import files

import msgspec
import pytest
from jinja2 import meta, nodes

from kintsugi.console import configurations, contexts, log, oversight
from kintsugi.console.assets import Assets
from kintsugi.console.contexts import Shell
from kintsugi.console.rendering import NAVIGATION, environment

TEMPLATES = files("kintsugi.console") / "templates"
GLOBALS = {"asset", "marks", "navigation", "section"}
PAGES = tuple(Shell.__subclasses__())
ENVIRONMENT = environment(Assets())


def used_names(template: str) -> set[str]:
    """Names that a template and its parents take from the context."""
    tree = ENVIRONMENT.parse((TEMPLATES / template).read_text())
    names = meta.find_undeclared_variables(tree)
    for other in meta.find_referenced_templates(tree):
        assert other is not None
        names |= used_names(other)
    macros = {macro.name for macro in tree.find_all(nodes.Macro)}
    imported = {str(name) for found in tree.find_all(nodes.FromImport) for name in found.names}
    return names - GLOBALS - macros - imported


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.__name__)
def test_a_template_uses_every_field_of_its_class_and_nothing_else(page: type[Shell]) -> None:
    assert used_names(page.template) == set(page.__struct_fields__)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.__name__)
def test_every_field_is_documented(page: type[Shell]) -> None:
    text = "".join(inspect.getdoc(kind) or "" for kind in page.__mro__ if kind is not object)
    for name in page.__struct_fields__:
        assert re.search(rf"\b{name}\b", text), f"{page.__name__}.{name}"


def test_every_template_has_a_class_or_is_part_of_one_that_has() -> None:
    pages = {page.template for page in PAGES}
    parts = {"base.html", "macros.html"}
    assert {entry.name for entry in TEMPLATES.iterdir()} == pages | parts


def test_no_template_holds_a_script_a_style_or_a_handler() -> None:
    """They would be refused by the content security policy, and must not be missed there."""
    for entry in TEMPLATES.iterdir():
        text = entry.read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|javascript:", text)
        assert "| safe" not in text


def test_every_form_field_has_a_label() -> None:
    for entry in TEMPLATES.iterdir():
        text = entry.read_text()
        fields = re.findall(
            r"<(?:input|select|textarea)\b(?![^>]*type=\"hidden\")[^>]*\bid=\"([^\"]+)\"", text
        )
        unnamed = re.findall(
            r"<(?:input|select|textarea)\b(?![^>]*(?:type=\"hidden\"|\bid=))", text
        )
        assert not unnamed, entry.name
        for name in fields:
            assert f'<label for="{name}"' in text, (entry.name, name)


def test_the_classes_are_values() -> None:
    for module in (contexts, oversight, log, configurations):
        for _, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ == module.__name__ and issubclass(kind, msgspec.Struct):
                assert kind.__struct_config__.frozen, kind


def test_every_page_belongs_to_a_section() -> None:
    sections = {name for name, _ in NAVIGATION}
    outside = {
        *("sign_in.html", "invitation.html", "welcome.html", "forward.html", "error.html"),
        *("report_outside.html", "report_receipt.html", "report_status.html"),
    }
    for page in PAGES:
        assert (page.section in sections) is (page.template not in outside), page
