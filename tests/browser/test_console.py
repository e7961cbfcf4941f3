"""The operator's main paths, in a real browser."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, expect

from kintsugi.model.event import DecisionEvent, Payload
from tests.browser.conftest import Console, sign_in
from tests.control_plane import blocked_event, make_event, make_report

pytestmark = pytest.mark.browser


def recent(number: int) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=60 - number)


def some_events() -> list[DecisionEvent]:
    return [
        blocked_event(number, at=recent(number))
        if number % 4 == 0
        else make_event(number, at=recent(number))
        for number in range(1, 21)
    ]


def test_a_new_decision_appears_without_a_reload(page: Page, console: Console) -> None:
    expect(page.get_by_text("No decision yet")).to_be_visible()
    expect(page.locator("#live")).to_have_text("Live")
    page.evaluate("window.sameDocument = true")
    event = blocked_event(1, at=recent(1), user_id="ana@example.org")
    console.stores.events.append([event])
    expect(page.locator(f"#row-{event.id}")).to_contain_text("ana@example.org")
    expect(page.locator(".figure.lead dd")).to_have_text("1")
    expect(page.locator(".legend")).to_contain_text("block 1")
    assert page.evaluate("window.sameDocument") is True


def test_a_new_gateway_appears_without_a_reload(page: Page, console: Console) -> None:
    expect(page.get_by_text("No gateway has registered")).to_be_visible()
    expect(page.locator("#live")).to_have_text("Live")
    now = datetime.now(UTC)
    console.stores.gateways.put(make_report(now=now), now=now)
    expect(page.locator(".gateway")).to_contain_text("in force")


def test_filtering_keeps_the_page_and_changes_its_address(page: Page, console: Console) -> None:
    console.stores.events.append(some_events())
    expect(page.locator(".row-link")).to_have_count(20)
    page.get_by_label("Verdict").select_option("block")
    expect(page.locator(".row-link")).to_have_count(5)
    assert page.url == f"{console.address}/?verdict=block"
    # The filter holds when news arrive.
    console.stores.events.append([make_event(50, at=recent(50)), blocked_event(51, at=recent(51))])
    expect(page.locator(".row-link")).to_have_count(6)
    page.go_back()
    expect(page.locator(".row-link")).to_have_count(22)


def test_a_wrong_filter_is_explained_beside_its_field(page: Page) -> None:
    page.get_by_label("Since").fill("soon")
    page.get_by_role("button", name="Filter").click()
    expect(page.get_by_role("alert")).to_contain_text("is no time")


def test_typing_is_not_disturbed_by_news(page: Page, console: Console) -> None:
    expect(page.locator("#live")).to_have_text("Live")
    field = page.get_by_label("User")
    field.click()
    page.keyboard.type("an")
    console.stores.events.append([make_event(1, at=recent(1))])
    expect(page.locator(".row-link")).to_have_count(1)
    page.keyboard.type("a")
    expect(field).to_have_value("ana")
    expect(field).to_be_focused()


def test_a_decision_is_opened_and_explained_by_keyboard_alone(page: Page, console: Console) -> None:
    console.stores.events.append(some_events())
    expect(page.locator(".row-link")).to_have_count(20)
    page.locator("body").press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("j")  # letters act in the list alone
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.get_by_role("region", name="Latest decisions, scrollable").focus()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Prompt injection")).to_be_visible()
    expect(page.get_by_text("monitor: recorded, not acted on")).to_be_visible()
    expect(page.get_by_text("blocked by prompt-injection")).to_be_visible()


def test_hostile_text_does_nothing(page: Page, console: Console) -> None:
    attack = (
        "\"'><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"
    )
    event = blocked_event(
        1,
        at=recent(1),
        user_id=attack,
        model=attack,
        policy_name=attack,
        reason_code=attack,
        payload=Payload(request=attack, response=attack),
    )
    console.stores.events.append([event])
    expect(page.locator(f"#row-{event.id}")).to_contain_text("<script>")
    assert "owned" not in page.title()
    page.locator(".row-link").click()
    expect(page.locator("pre.hostile").first).to_have_text(attack)
    assert "owned" not in page.title()
    assert page.locator("main img, main script").count() == 0


def test_inline_scripts_are_refused_by_the_browser(console: Console, browser: Browser) -> None:
    context = browser.new_context()
    page = context.new_page()
    sign_in(page, console)
    page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "document.title = 'owned'";
            document.body.append(script);
        }"""
    )
    assert page.title() != "owned"
    context.close()


def test_the_console_works_without_scripts(console: Console, browser: Browser) -> None:
    console.stores.events.append(some_events())
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, console)
    expect(page.locator("#live")).to_contain_text("reload")
    page.get_by_text("The last hour as a table").click()
    expect(page.get_by_role("columnheader", name="block")).to_be_visible()
    page.get_by_label("Verdict").select_option("block")
    page.get_by_role("button", name="Filter").click()
    expect(page.locator(".row-link")).to_have_count(5)
    page.locator(".row-link").first.click()
    expect(page.get_by_role("heading", name="Decision chain")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(console: Console, browser: Browser, scheme: str) -> None:
    """WCAG 2.2 AA, 1.4.3: at least 4.5 to 1 for every text that is shown."""
    now = datetime.now(UTC)
    console.stores.events.append(some_events())
    console.stores.gateways.put(make_report(now=now, load_error="E001"), now=now)
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1360, "height": 900})  # type: ignore[arg-type]
    page = context.new_page()
    sign_in(page, console)
    expect(page.locator("#live")).to_have_text("Live")
    assert page.evaluate(LOW_CONTRAST) == []
    page.locator(".row-block .row-link").first.click()
    page.get_by_role("heading", name="Decision chain").wait_for()
    assert page.evaluate(LOW_CONTRAST) == []
    context.close()


def test_a_narrow_screen_needs_no_sideways_scrolling(console: Console, browser: Browser) -> None:
    console.stores.events.append(some_events())
    context = browser.new_context(viewport={"width": 360, "height": 740})
    page = context.new_page()
    sign_in(page, console)
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.evaluate(wide) <= 0
    page.locator(".row-block .row-link").first.click()
    page.get_by_role("heading", name="Decision chain").wait_for()
    assert page.evaluate(wide) <= 0
    context.close()


# Every element with text of its own, its colour against the nearest background that is opaque.
LOW_CONTRAST = """() => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 1;
    const pen = canvas.getContext("2d", { willReadFrequently: true });
    const rgba = (color) => {
        pen.clearRect(0, 0, 1, 1);
        pen.fillStyle = color;
        pen.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
        return { rgb: [r, g, b], a };
    };
    const luminance = (rgb) => {
        const [r, g, b] = rgb.map((v) => v / 255)
            .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const found = rgba(getComputedStyle(at).backgroundColor);
            if (found.a > 250) return found.rgb;
        }
        return rgba(getComputedStyle(document.documentElement).backgroundColor).rgb;
    };
    const low = [];
    for (const element of document.querySelectorAll("body *")) {
        const own = [...element.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
        if (!own || !element.checkVisibility() || element.closest("svg, option")) continue;
        const [one, two] = [rgba(getComputedStyle(element).color).rgb, behind(element)]
            .map(luminance).sort((a, b) => b - a);
        const ratio = (one + 0.05) / (two + 0.05);
        if (ratio < 4.5) low.push(`${element.tagName}.${element.className}: ${ratio.toFixed(2)}`);
    }
    return [...new Set(low)];
}"""
