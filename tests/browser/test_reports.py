"""Reporting in a real browser: with a session, and from outside with a link and without scripts."""

from __future__ import annotations

import os
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Page

from tests.browser.conftest import Console
from tests.browser.test_accessibility import AXE, RUN
from tests.control_plane import bearer

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


def link(console: Console) -> str:
    made = httpx2.post(
        f"{console.address}/v1/report-links",
        json={"audience": "regulator"},
        headers=bearer(console.token),
    ).json()
    return f"{console.address}{made['data']['path']}"


def look(page: Page, name: str) -> None:
    """Leave a picture where somebody asked for one, and hold the page against axe-core."""
    if folder := os.environ.get("KT_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
    if AXE.exists():
        page.evaluate(AXE.read_text(encoding="utf-8"))
        assert page.evaluate(RUN) == []


def test_a_colleague_reports_and_finds_it_again(page: Page, console: Console) -> None:
    page.goto(f"{console.address}/report")
    page.get_by_label("In a few words").fill("It promised a refund")
    page.get_by_label("Whatever you know").fill("Order 4711, yesterday.")
    page.get_by_label("What kind of thing").select_option("correctness")
    page.get_by_role("button", name="Send the report").click()
    page.get_by_text("It is with INC-000001").wait_for()
    assert page.get_by_role("cell", name="It promised a refund").is_visible()
    look(page, "report")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_somebody_outside_reports_without_scripts(
    browser: Browser, console: Console, scheme: str
) -> None:
    context = browser.new_context(
        java_script_enabled=False,
        color_scheme=scheme,  # type: ignore[arg-type]
        viewport={"width": 420, "height": 900},
    )
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.goto(link(console))
    assert not page.get_by_label("Leave this empty").is_visible() or (
        (page.locator("#website").bounding_box() or {"x": 0})["x"] < 0
    )
    page.get_by_label("What happened, in a few words").fill("It told others my address")
    page.get_by_label("More about it").fill("\u202eright to left")
    page.get_by_label("How to reach you").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the button is next: the trap takes no focus
    page.get_by_text("Your report was received").wait_for()
    page.get_by_role("link", name="Where your report stands").click()
    page.get_by_text("It is received.").wait_for()
    assert "address" not in page.content().replace("Your report", "").lower().split("<main")[1]
    context.close()


def test_pages_for_people_outside_pass_axe(browser: Browser, console: Console) -> None:
    context = browser.new_context(viewport={"width": 1000, "height": 800})
    page = context.new_page()
    page.set_default_timeout(15_000)
    page.goto(link(console))
    look(page, "outside")
    page.get_by_label("What happened, in a few words").fill("It lied")
    page.get_by_role("button", name="Send the report").click()
    page.get_by_text("Your report was received").wait_for()
    look(page, "receipt")
    page.get_by_role("link", name="Where your report stands").click()
    page.get_by_text("It is received.").wait_for()
    look(page, "status")
    context.close()
