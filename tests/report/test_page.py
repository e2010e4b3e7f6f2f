"""The page: whole, harmless whatever the file holds, and readable without its plots."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from seats.report import ResultsError, charts, report
from seats.report.page import page, shown_parts, write_page
from tests.report.make import error_row, full_row, ok_row, write

VOID = {"meta", "link", "br", "hr", "img", "input"}
ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "a", "header", "main", "footer", "section", "aside", "nav"),
    *(
        "p",
        "h1",
        "h2",
        "h3",
        "h4",
        "strong",
        "bdi",
        "ul",
        "ol",
        "li",
        "figure",
        "figcaption",
        "div",
        "span",
        "dl",
        "dt",
    ),
    *("dd", "details", "summary", "table", "thead", "tbody", "tr", "th", "td", "code"),
    *("svg", "rect", "line", "text", "circle"),
}
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;{{7*7}}\udcff\u202e\x07"


class Page(HTMLParser):
    """Checks that tags close in order, and keeps tags, attributes and text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style",):
            self.texts.append(data)

    @property
    def text(self) -> str:
        text = " ".join(" ".join(self.texts).replace("\u00a0", " ").split())
        return re.sub(r" ([,.;])", r"\1", text)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(path: Path, against: Path | None = None) -> Page:
    return Page(page(report(path, against)))


def evil_row(number: int = 0) -> dict[str, Any]:
    row = ok_row(
        number, question=f"question {EVIL}", answer=f"answer {EVIL} {number}", finish_reason=EVIL, notes=[EVIL]
    )
    row["id"] = row["clip"]["path"] = f"clip {EVIL}"
    row["model"] = {"name": f"model {EVIL}", "dtype": f"dtype {EVIL}", "device": EVIL, EVIL: EVIL}
    row["method"] = {"name": f"method {EVIL}", EVIL: [EVIL]}
    return row


@pytest.fixture
def rich(tmp_path: Path) -> Page:
    """Two methods, failures, faults, and another file to compare with."""
    scales = (1, 1.5, 2, 12)
    rows = [ok_row(i, scale=scale) for i, scale in enumerate(scales)] + [full_row(i, id=f"f{i}") for i in range(4)]
    here = write(tmp_path / "here.jsonl", *rows, error_row(8), "broken\n", ok_row(9, latency_ms={}), '{"half')
    there = write(tmp_path / "there.jsonl", *(ok_row(i, answer="other") for i in range(4)), error_row(9))
    return page_of(here, there)


def test_says_what_the_report_says(rich: Page) -> None:
    for said in (
        "9 answered · 1 failed · 2 combinations of model, method and settings · against there.jsonl",
        "1 broken line left out: line 10.",
        "The last line is half written",
        "1 row without a usable latency_ms, first in line 11.",
        "seats-nano · float32 · cpu · seats (video 6%, audio 35%)",
        "faster prefill, estimated 4.00\u00d7 4.00\u00d7 to 4.00\u00d7 for the middle 90 %",
        "400 → 40",
        "MediaError <clip>: cut off after <n> s",
        "4 questions about the same clips, paired by path; 1 answered only here, 0 only there",
        "0 the same, 4 different",
    ):
        assert said in rich.text, (said, rich.text)


def test_one_question_and_settings_of_one_file(tmp_path: Path) -> None:
    here = write(tmp_path / "here.jsonl", ok_row(0))
    page = page_of(here, write(tmp_path / "there.jsonl", ok_row(0, scale=2), full_row(0)))
    assert "1 question about the same clips" in page.text
    assert "only one of the files has these settings: seats-nano · float32 · cpu · full" in page.text


def test_needs_nothing_but_itself(rich: Page) -> None:
    for tag, attributes in rich.tags:
        assert tag in ALLOWED
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name not in ("src", "srcset", "xlink:href", "data", "action")
            if name == "href":
                assert value is not None
                assert value.startswith("#")
    policy = next(meta for meta in rich.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"


def test_style_sheet_loads_nothing(rich: Page, tmp_path: Path) -> None:
    html = page(report(tmp_path / "here.jsonl"))
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    assert "prefers-color-scheme: dark" in style


def test_nothing_in_a_file_can_become_markup(tmp_path: Path) -> None:
    bad = error_row(3, f"message {EVIL}", f"kind {EVIL}")
    path = write(tmp_path / f"<b>{chr(39)}.jsonl", evil_row(0), evil_row(1), bad, {"schema": EVIL})
    other = write(tmp_path / "b.jsonl", evil_row(1), evil_row(0) | {"answer": "other"}, bad)
    html = page(report(path, other))
    html.encode()
    found = Page(html)
    assert not {tag for tag, _ in found.tags} - ALLOWED
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]
    for word in ("clip", "question", "answer", "dtype", "method", "message", "kind"):
        assert f"{word} <script>alert(1)</script>" in found.text, word
    assert "{{7*7}}" in found.text
    assert not set("\udcff\u202e\x07") & set(html)


def test_rows_that_repeat_are_counted_in_words(tmp_path: Path) -> None:
    for times, said in (
        (2, "1 row repeats the id, question and settings of an earlier row; it is counted like the others."),
        (3, "2 rows repeat the id, question and settings of an earlier row; they are counted like the others."),
    ):
        assert said in page(report(write(tmp_path / "r.jsonl", *[ok_row()] * times)))  # fmt: skip


def test_long_texts_are_cut(tmp_path: Path) -> None:
    row = ok_row(question="q" * 500_000, answer="a" * 500_000, notes=["n" * 500_000] * 50)
    path = write(tmp_path / "r.jsonl", row, error_row(1, "m" * 500_000, "k" * 500_000))
    assert len(page(report(path, path))) < 100_000


def test_every_plot_has_words(rich: Page) -> None:
    plots = rich.all("svg")
    assert len(plots) > 30
    for plot in plots:
        assert plot.get("aria-hidden") == "true" or (plot["role"] == "img" and plot["aria-label"])
    tables = len(rich.all("table"))
    # Of each group: steps, distribution, FLOPs, retention, the slowest; and the ratios of each comparison.
    assert tables == 2 * 5 + 2


def test_parts_of_the_page_are_named_and_reached_by_keyboard(rich: Page) -> None:
    ids = [attributes["id"] for _, attributes in rich.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    linked = [(link["href"] or "")[1:] for link in rich.all("a")]
    assert {*linked} <= {*ids}
    assert {"time", "group-1", "group-2"} <= {*linked}
    for attributes in rich.all("section"):
        assert attributes["aria-labelledby"] in ids
    for attributes in rich.all("div"):
        if attributes.get("class") == "scroll":
            assert attributes["tabindex"] == "0"
            assert attributes["aria-label"]
    assert rich.all("html") == [{"lang": "en"}]
    assert len(rich.all("h1")) == 1


def test_plots_stay_inside_their_frames(rich: Page) -> None:
    for rect in rich.all("rect"):
        x, width, y, height = (float((rect[name] or "").rstrip("%")) for name in ("x", "width", "y", "height"))
        assert x >= 0
        assert width >= 0
        assert x + width <= 100.01
        assert y >= 0
        assert height >= 0
    for line in rich.all("line"):
        assert all(0 <= float((line[name] or "").rstrip("%")) <= 100.01 for name in ("x1", "x2"))


def test_bars_have_the_lengths_of_their_numbers(tmp_path: Path) -> None:
    found = page_of(write(tmp_path / "r.jsonl", ok_row()))
    steps = {
        (rect["class"] or "").split()[1]: float((rect["width"] or "").rstrip("%"))
        for rect in found.all("rect")[:8]
        if (rect["class"] or "").startswith("step ")
    }
    assert steps == pytest.approx(
        {
            "decode_clip": 20,
            "prepare": 5,
            "encode_video": 30,
            "encode_audio": 10,
            "selection": 2,
            "prefill": 8,
            "other": 15,
            "generation": 10,
        }
    )
    bars = {rect["class"]: rect for rect in found.all("rect") if rect["class"] in ("full", "run")}
    assert set(bars) == {"full", "run"}


def test_steps_lie_end_to_end(tmp_path: Path) -> None:
    found = page_of(write(tmp_path / "r.jsonl", ok_row()))
    steps = [rect for rect in found.all("rect") if (rect["class"] or "").startswith("step ")][:8]
    places = [float((rect["x"] or "").rstrip("%")) for rect in steps]
    assert places == pytest.approx([0, 20, 25, 55, 65, 67, 75, 90])


def test_a_median_of_nothing_stays_inside_its_frame(tmp_path: Path) -> None:
    rows = [ok_row(number, latency_ms={"total": total}) for number, total in enumerate((0, 0, 0, 1000, 2000))]
    marks = [line for line in page_of(write(tmp_path / "r.jsonl", *rows)).all("line") if line["class"] == "mark"]
    assert [mark["x1"] for mark in marks] == ["0.000%", "80.000%"]


def test_rows_are_counted_in_whole_numbers(tmp_path: Path) -> None:
    found = page(report(write(tmp_path / "r.jsonl", ok_row())))
    plot = found[found.index("Distribution of the total time") :]
    assert re.findall(r'text-anchor="end">(\d+)<', plot[: plot.index("</svg>")]) == ["0", "1"]


@pytest.mark.parametrize(
    ("scales", "colours"), [((2, 3, 4), {"less"}), ((0.5, 0.3, 0.2), {"more"}), ((0.5, 1, 2), {"even"})]
)
def test_a_ratio_has_a_colour_where_nearly_all_pairs_agree(
    tmp_path: Path, scales: tuple[float, ...], colours: set[str]
) -> None:
    here = write(tmp_path / "here.jsonl", *(ok_row(number) for number in range(3)))
    there = write(tmp_path / "there.jsonl", *(ok_row(number, scale=scale) for number, scale in enumerate(scales)))
    dots = page_of(here, there).all("circle")
    assert {(dot["class"] or "").removeprefix("dot ") for dot in dots[:-1]} == colours
    assert dots[-1]["class"] == "dot even"  # of the FLOPs, which are the same


def test_1_is_on_the_axis_of_ratios() -> None:
    for span in ((0.87, 1.2), (0.87, 400.0), (0.0009, 20_000.0)):
        assert ">1\u00d7</text>" in charts.ratio_axis(span), span


def test_long_times_on_an_axis_are_minutes(tmp_path: Path) -> None:
    rows = [ok_row(number, scale=scale) for number, scale in enumerate((60, 120, 240, 300))]
    found = page(report(write(tmp_path / "r.jsonl", *rows)))
    plot = found[found.index("Distribution of the total time") :]
    assert re.findall(r'text-anchor="middle">([^<]+)<', plot[: plot.index("</svg>")])[-1] == "5 min"


def test_parts_too_short_to_see_have_no_bar(tmp_path: Path) -> None:
    row = ok_row()
    row["flops"]["parts"] |= {"llm_prefill": 40_000.0, "audio_encoder": 0.0}
    row["flops"]["parts_full"] |= {"llm_prefill": 400_000.0, "audio_encoder": 500.0}
    (group,) = report(write(tmp_path / "r.jsonl", row)).file.groups
    assert shown_parts(group) == ["audio_encoder", "llm_prefill"]


def test_a_page_of_little_has_no_links_to_its_parts(tmp_path: Path) -> None:
    path = write(tmp_path / "r.jsonl", ok_row())
    assert not page_of(path).all("nav")
    assert [link["href"] for link in page_of(path, path).all("a")][1:] == ["#time", "#group-1", "#comparison"]


def silent(row: dict[str, Any]) -> dict[str, Any]:
    row["tokens"]["audio"] = {"full": 0, "pre_llm": 0, "per_layer": [0] * 4}
    return row


@pytest.mark.parametrize(
    "rows",
    [
        [ok_row()],
        [error_row()],
        [silent(ok_row())],
        [ok_row(latency_ms={})],
        [ok_row(latency_ms={"total": 5.0})],
        [ok_row(latency_ms={"total": 0})],
        [ok_row(flops={})],
        [ok_row(flops={"full": 0, "run": 0, "parts": {}})],
        [ok_row(tokens={})],
        [ok_row(tokens={"video": {"full": 5, "pre_llm": 5, "per_layer": []}})],
        [ok_row(tokens={"video": {"full": 5, "pre_llm": 5, "per_layer": [5] * 2000}})],
        [{"schema": "seats.answer/1"}],
        [ok_row(scale=1e-9), ok_row(1, scale=1e60)],
        [*(ok_row(number, latency_ms={"total": 0}) for number in range(4)), ok_row(4), ok_row(5, scale=20)],
        [ok_row(flops={"full": 1e99, "run": 1e-320})],
        [ok_row(latency_ms={"first_token": 0, "per_output_token": 1e-320, "total": 1e99})],
    ],
    ids=range(16),
)
def test_pages_of_little(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    path = write(tmp_path / "r.jsonl", *rows)
    text = page_of(path, path).text
    assert "r.jsonl" in text
    assert not re.search(r"\bnan\b|\binf\b|None|undefined", text.lower().replace("none of", ""))


def test_writing(tmp_path: Path) -> None:
    results = write(tmp_path / "r.jsonl", ok_row())
    made = report(results)
    target = tmp_path / "page.html"
    write_page(made, target)
    first = target.read_bytes()
    assert first.startswith(b"<!doctype html>")
    write_page(made, target)
    assert target.read_bytes() == first
    before = results.read_bytes()
    with pytest.raises(ResultsError, match="does not say that seats wrote it"):
        write_page(made, results)
    assert results.read_bytes() == before
    with pytest.raises(ResultsError, match="cannot be written"):
        write_page(made, tmp_path / "gone" / "page.html")


def test_a_page_that_cannot_be_written_leaves_the_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = report(write(tmp_path / "results.jsonl", ok_row(0)))
    target = tmp_path / "page.html"
    target.write_text('<!doctype html><meta content="written by seats">older')

    def full_disk(path: Path, *_: object, **__: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full_disk)
    with pytest.raises(ResultsError, match=r"No space left on device\); make room"):
        write_page(made, target)
    assert target.read_text() == '<!doctype html><meta content="written by seats">older'
    assert len(list(tmp_path.iterdir())) == 2
