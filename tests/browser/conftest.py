"""A real server, a real browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from kintsugi.model.stores import Stores
from kintsugi.store.memory import memory_stores
from tests.control_plane import control_plane, make_token, served

# The browser only ever talks to this machine.
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Console(NamedTuple):
    """The console under test."""

    address: str
    stores: Stores
    token: str


# Not for the session: Playwright keeps an event loop running in this thread, and other modules'
# tests start their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("needs Chromium")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    stores = memory_stores()
    with served(control_plane(stores, tmp_path)) as address:
        yield Console(address, stores, make_token(stores))


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1360, "height": 900})
    made.set_default_timeout(15_000)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext, console: Console) -> Iterator[Page]:
    """A page that signed in. Anything the browser complains about fails the test."""
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on(
        "console",
        lambda message: (
            complaints.append(message.text)
            # An answer of 4xx is no fault of the page; what it shows is what the tests look at.
            if message.type == "error" and not message.text.startswith("Failed to load resource")
            else None
        ),
    )
    opened.on("dialog", lambda dialog: complaints.append(dialog.message))
    sign_in(opened, console)
    yield opened
    assert complaints == []


def sign_in(page: Page, console: Console, address: str = "/") -> None:
    page.goto(console.address + address)
    page.get_by_label("Access token").fill(console.token)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Decisions", exact=True).wait_for()
