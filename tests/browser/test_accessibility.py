"""Every page held against axe-core, the checker of others: WCAG 2.2 levels A and AA.

It is installed with ``npm ci`` in ``tests/conformance/node`` and runs in the page.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import Console, sign_in
from tests.browser.test_oversight import furnish

AXE = Path(__file__).parents[1] / "conformance/node/node_modules/axe-core/axe.min.js"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not AXE.exists(), reason="npm ci has not run in tests/conformance/node"),
]

RUN = """async () => {
    const found = await axe.run(document, { runOnly: { type: "tag", values: [
        "wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] } });
    return found.violations.flatMap((violation) =>
        violation.nodes.map((node) => `${violation.id}: ${node.html.slice(0, 160)}`));
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1360, 390])
def test_axe_finds_nothing(console: Console, browser: Browser, scheme: str, width: int) -> None:
    made = furnish(console.stores)
    context = browser.new_context(
        color_scheme=scheme,  # type: ignore[arg-type]
        viewport={"width": width, "height": 900},
    )
    page = context.new_page()
    page.set_default_timeout(15_000)
    sign_in(page, console)
    found: dict[str, list[str]] = {}
    for name, address in made.items():
        page.goto(console.address + address)
        page.evaluate(AXE.read_text(encoding="utf-8"))
        if violations := page.evaluate(RUN):
            found[name] = violations
    context.close()
    assert found == {}
