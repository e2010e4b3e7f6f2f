"""The page in a real browser: slider, play, hover, keyboard, two methods, themes, and nothing in the console.

Skipped where there is no playwright or no Chromium (Debian's, or the one that playwright fetches).
"""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from seats.view.token_map import TokenMap
from tests.view.conftest import Look

playwright = pytest.importorskip("playwright.sync_api")
pytestmark = pytest.mark.slow
_SWITCHES = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync"
Write = Callable[[list[TokenMap]], Path]
Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with playwright.sync_playwright() as tool:
        try:
            started = tool.chromium.launch(executable_path=found, args=_SWITCHES.split(), timeout=120_000)
        except playwright.Error as error:
            pytest.skip(f"no browser: {str(error).splitlines()[0]}")
        yield started
        started.close()


@pytest.fixture
def opened(browser: Any, written: Write) -> Iterator[Open]:
    """Open a page of maps; fails afterwards if it said anything or asked for anything."""
    said: list[str] = []

    def call(maps: list[TokenMap], width: int = 1280, scheme: str = "light", **more: Any) -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, **more)
        context.set_default_timeout(120_000)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: request.url.startswith(("file:", "data:")) or said.append(request.url))
        page.goto(written(maps).as_uri())
        playwright.expect(page.locator("#state")).not_to_be_empty()
        settle(page)
        return page

    yield call
    assert not said


def settle(page: Any) -> None:
    """Wait until pictures are decoded and what was asked for is drawn."""
    page.evaluate(
        "new Promise((done) => setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(done)), 250))"
    )


def drawn(page: Any) -> str:
    settle(page)
    return page.evaluate("document.getElementById('strip').toDataURL()")


def slide_to(page: Any, layer: int) -> None:
    page.evaluate(
        "n => { const s = document.getElementById('layer'); s.value = n; s.dispatchEvent(new Event('input')); }", layer
    )


def drawing(page: Any, name: str) -> list[dict[str, Any]]:
    """Calls of a method of the canvases' contexts while everything is drawn anew."""
    return page.evaluate(
        """(name) => {
          const calls = [], real = CanvasRenderingContext2D.prototype[name];
          CanvasRenderingContext2D.prototype[name] = function (...given) {
            calls.push({ given, lineWidth: this.lineWidth, globalAlpha: this.globalAlpha, textAlign: this.textAlign });
            return real.apply(this, given);
          };
          document.getElementById("layer").dispatchEvent(new Event("input"));
          return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(calls))));
        }""",
        name,
    )


def seen_on_screen(page: Any, selector: str) -> np.ndarray:
    """What an element looks like, uint8 `[H, W, 3]`."""
    settle(page)
    png = page.locator(selector).screenshot()
    return next(av.open(io.BytesIO(png), format="png_pipe").decode(video=0)).to_ndarray(format="rgb24")


def luminance(colour: np.ndarray) -> float:
    """WCAG's, of red, green and blue in [0, 255]."""
    return float((((colour / 255 + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


def test_slider_goes_through_the_layers(opened: Open, maps: dict[str, TokenMap]) -> None:
    seen = maps["seats"]
    page = opened([seen])
    pictures = set()
    for layer in range(seen.layers + 1):
        slide_to(page, layer)
        happened = sum(moment.after_layer < layer for moment in seen.moments)
        state = page.inner_text("#state")
        for name, tokens in seen.modalities().items():
            assert f"{(tokens.left >= happened).sum():,} of {len(tokens):,} {name} tokens" in state, layer
        assert page.locator("#legend button.later").count() == len(seen.moments) - happened
        pictures.add((happened, drawn(page)))
    assert len({picture for _, picture in pictures}) >= len(seen.moments) + 1


def test_arrow_keys_move_the_slider(opened: Open, maps: dict[str, TokenMap]) -> None:
    page = opened([maps["seats"]])
    slide_to(page, 3)
    page.focus("#layer")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "layer 5 of 8" in page.inner_text("#state")
    page.keyboard.press("Home")
    assert "before any selection" in page.inner_text("#state")


def test_play_ends_at_the_last_layer(opened: Open, maps: dict[str, TokenMap]) -> None:
    page = opened([maps["seats"]])
    slide_to(page, 5)
    page.click("#play")
    playwright.expect(page.locator("#layer")).to_have_value("8", timeout=60_000)
    playwright.expect(page.locator("#play")).to_have_text("▶")


def test_patches_are_shaded_where_their_tokens_are(opened: Open, maps: dict[str, TokenMap]) -> None:
    seen = maps["seats"]
    page = opened([seen])
    assert seen.grid is not None
    assert seen.video is not None
    grids, rows, columns = seen.grid
    slide_to(page, 0)
    whole = seen_on_screen(page, "#strip").astype(int)
    slide_to(page, 1)
    changed = np.abs(seen_on_screen(page, "#strip") - whole).max(axis=2)
    cell = min((changed.shape[1] - 32) / grids, 300, 230 * columns / rows)
    height = cell * rows / columns
    left = seen.video.left.reshape(grids, rows, columns)
    for grid, row, column in np.ndindex(left.shape):
        x = 16 + grid * cell + 1.5 + (column + 0.5) * (cell - 3) / columns
        y = 26 + 10 + (row + 0.5) * height / rows
        patch = changed[int(y) - 9 : int(y) + 9, int(x) - 9 : int(x) + 9]
        assert (patch.mean() > 20) == (left[grid, row, column] == 0), (grid, row, column)
        assert left[grid, row, column] == 0 or not patch.any()


def test_hover_tells_about_a_token(opened: Open, maps: dict[str, TokenMap]) -> None:
    page = opened([maps["seats"]])
    page.hover("#strip", position={"x": 40, "y": 60})
    tip = page.inner_text("#tip")
    for part in ("Video token", "window", "row 1, column 1", "saliency", "relevance, layer", "rank", "left", "Stage"):
        assert part in tip
    box = page.locator("#strip").bounding_box()
    page.hover("#strip", position={"x": 40, "y": box["height"] - 60})
    assert "Audio token" in page.inner_text("#tip")
    page.hover("h1")
    page.wait_for_selector("#tip", state="hidden")


def test_keys_go_from_token_to_token(opened: Open, maps: dict[str, TokenMap]) -> None:
    page = opened([maps["seats"]])
    page.focus("#scroller")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Home")
    places = []
    for key in ("ArrowRight", "ArrowDown", "ArrowRight", "ArrowRight", "ArrowUp", "ArrowDown", "ArrowDown"):
        page.keyboard.press(key)
        tip = page.inner_text("#tip")
        places.append("audio" if "Audio token" in tip else tip.split("patch")[1].split("saliency")[0].strip())
    assert places == [f"row {r}, column {c}" for r, c in ((1, 2), (2, 2), (2, 3), (2, 1), (1, 1), (2, 1))] + ["audio"]
    before = drawn(page)
    page.keyboard.press("End")
    assert "2 of 2" in page.inner_text("#tip")
    assert drawn(page) != before
    page.keyboard.press("Escape")
    assert page.is_hidden("#tip")


def test_two_methods_beside_each_other(opened: Open, look_at: Look) -> None:
    seats, full = look_at("seats", "full")
    page = opened([seats, full])
    assert page.locator("article").count() == 2
    assert page.locator("#budget canvas").count() == page.locator("#relevance canvas").count() == 2
    slide_to(page, seats.layers)
    state = page.inner_text("#state")
    assert "seats 35%: 0 of 18 video" in state
    assert "full: 18 of 18 video" in state
    first, second = (page.locator("article").nth(i).bounding_box() for i in (0, 1))
    assert first["y"] == second["y"]
    page.hover("#strip", position={"x": 40, "y": 80})
    assert "seats 35%" in page.inner_text("#tip")
    box = page.locator("#strip").bounding_box()
    page.hover("#strip", position={"x": 40, "y": 26 + (box["height"] - 26) * 0.4})
    assert "full" in page.inner_text("#tip")
    assert "stays to the end" in page.inner_text("#tip")


@pytest.mark.parametrize("clip", [{"seconds": 0.0}, {"frames": 0}, {"frames": 2, "fps": 25.0}])
def test_clips_without_sound_or_pictures_and_of_one_frame(opened: Open, look_at: Look, clip: dict) -> None:
    page = opened(look_at(**clip))
    page.focus("#scroller")
    for key in ("ArrowRight", "ArrowDown", "ArrowUp", "PageDown", "End", "ArrowLeft"):
        page.keyboard.press(key)
        assert "token" in page.inner_text("#tip")
    for shading in ("saliency", "relevance", "stage"):
        page.click(f"[data-by={shading}]")
        settle(page)


def test_shading_by_saliency_zoom_and_second_frames(opened: Open, maps: dict[str, TokenMap]) -> None:
    page = opened([maps["seats"]])
    pictures = [drawn(page)]
    for button in ("[data-by=saliency]", "[data-by=relevance]", "#second", "#in"):
        page.click(button)
        pictures.append(drawn(page))
    assert len(set(pictures)) == len(pictures)


def test_a_question_full_of_markup_is_text(opened: Open, look_at: Look) -> None:
    question = "</script><script>alert(1)</script><img src=x onerror=alert(2)> " + "very long " * 400
    page = opened(look_at(text=question))
    assert page.inner_text("h1").startswith("</script><script>alert(1)")
    assert page.locator("h1").bounding_box()["height"] < 300


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_phone(opened: Open, maps: dict[str, TokenMap], scheme: str) -> None:
    page = opened([maps["seats"], maps["full"]], 380, scheme, has_touch=True, device_scale_factor=2)
    assert page.evaluate("document.documentElement.scrollWidth") <= 380
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(16, 18, 22)") == (scheme == "dark")
    page.locator("#strip").tap(position={"x": 60, "y": 80})
    assert page.is_visible("#tip")


def test_times_are_those_of_the_file(opened: Open, late: TokenMap) -> None:
    page = opened([late])
    page.focus("#scroller")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Home")
    tip = page.inner_text("#tip")
    assert "25:00.50 to 25:01.50" in tip
    page.hover("#budget canvas", position={"x": 45, "y": 40})
    assert "25:00.5" in page.inner_text("#tip")


def test_outlines_of_all_windows_are_equally_thin(opened: Open, maps: dict[str, TokenMap]) -> None:
    calls = drawing(opened([maps["full"]]), "strokeRect")
    widths = [call["lineWidth"] for call in calls if call["globalAlpha"] == 0.5]
    assert len(widths) > 2
    assert set(widths) == {1}


def test_relevance_of_sound_does_not_fall_where_it_ends(opened: Open, look_at: Look) -> None:
    page = opened(look_at(seconds=3.04))
    across = [call["given"][0] for call in drawing(page, "rect")]
    assert len(across) == 3  # a point for each second, none for the rest
    assert across[1] - across[0] == pytest.approx(across[2] - across[1])


def test_what_the_slider_says_keeps_its_numbers_apart(opened: Open, look_at: Look) -> None:
    page = opened(look_at("seats", "full"))
    slide_to(page, 0)
    numbers = "seats 35%: 18 of 18 video tokens · 82 of 82 audio tokens, full: 18 of 18 video tokens"
    said = page.get_attribute("#layer", "aria-valuetext")
    assert f"The clip, before any selection, {numbers}" in said
    slide_to(page, 8)
    assert "layer 8 of 8 seats" in page.evaluate("document.getElementById('state').textContent")


def test_slider_and_what_is_shown_agree_on_coming_back(opened: Open, maps: dict[str, TokenMap]) -> None:
    page = opened([maps["seats"]])
    began = page.input_value("#layer")
    slide_to(page, 2)
    page.goto("about:blank")
    page.go_back()
    settle(page)
    assert began != "2"
    assert page.input_value("#layer") == began
    assert f"layer {began} of 8" in page.inner_text("#state")


def test_times_stand_centred_under_their_place(opened: Open, maps: dict[str, TokenMap]) -> None:
    page = opened([maps["seats"]])
    width = page.evaluate("document.querySelector('#budget canvas').clientWidth")
    times = [call for call in drawing(page, "fillText") if call["given"][0] in ("0.5 s", "1 s", "2 s")]
    assert times
    for call in times:
        text, x, _ = call["given"]
        assert call["textAlign"] == "center"
        assert x == pytest.approx(40 + float(text[:-2]) / maps["seats"].seconds * (width - 48))


def test_a_short_clip_whose_sound_is_longer_fits_without_scrolling(opened: Open, look_at: Look) -> None:
    page = opened(look_at(frames=12, seconds=6.04))
    assert page.evaluate("(s => s.scrollWidth - s.clientWidth)(document.getElementById('scroller'))") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_still_to_come_can_be_read(opened: Open, maps: dict[str, TokenMap], scheme: str) -> None:
    page = opened([maps["seats"]], scheme=scheme)
    for text in ("span", "small"):
        opacity, *colours = page.locator(f"#legend .later {text}").first.evaluate(
            """(element) => {
              const button = element.closest("button"), own = getComputedStyle(element), its = getComputedStyle(button);
              return [own.opacity * its.opacity, own.color, its.backgroundColor];
            }"""
        )
        ink, paper = (np.array(re.findall(r"\d+", colour), dtype=float) for colour in colours)
        low, high = sorted(luminance(colour) for colour in (opacity * ink + (1 - opacity) * paper, paper))
        assert (high + 0.05) / (low + 0.05) >= 4.5, text  # WCAG AA


def test_a_question_in_hebrew_runs_from_right_to_left(opened: Open, look_at: Look) -> None:
    page = opened(look_at(text="מה רואים כאן?"))
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).direction") == "rtl"
    page = opened(look_at())
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).direction") == "ltr"


def test_nothing_is_cut_off_on_paper(opened: Open, maps: dict[str, TokenMap]) -> None:
    page = opened([maps["seats"]], 900)
    page.emulate_media(media="print")
    for canvas in ("#strip", "#budget canvas", "#relevance canvas"):
        drawn, paper = page.evaluate(
            """(canvas) => {
              const drawn = document.querySelector(canvas), box = drawn.parentElement;
              box.style.width = "500px";
              drawn.style.width = "840px";
              return [drawn.getBoundingClientRect().right, box.getBoundingClientRect().right];
            }""",
            canvas,
        )
        assert drawn <= paper, canvas


def test_without_scripts_the_page_says_so_before_what_is_missing(browser: Any, written: Write, maps: dict) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(written([maps["seats"]]).as_uri())
    said, slider = page.locator("noscript p").bounding_box(), page.locator("#layer").bounding_box()
    assert said["y"] < slider["y"]
    context.close()


def test_canvases_are_as_sharp_as_the_screen_that_the_page_is_moved_to(opened: Open, maps: dict[str, TokenMap]) -> None:
    page = opened([maps["seats"]])
    session = page.context.new_cdp_session(page)
    for scale in (2.0, 1.25, 1.0, 3.0):  # without a change of height, Chromium would not tell the page
        screen = {"width": 1280, "height": 900 + int(10 * scale), "deviceScaleFactor": scale, "mobile": False}
        session.send("Emulation.setDeviceMetricsOverride", screen)
        settle(page)
        for canvas in ("#strip", "#budget canvas", "#relevance canvas"):
            dots, wide = page.evaluate("s => (c => [c.width, c.clientWidth])(document.querySelector(s))", canvas)
            assert dots == round(scale * wide), (scale, canvas)
