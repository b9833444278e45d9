"""The report in a real browser: it fits wide and narrow screens, nothing is cut off."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
from html import unescape
from pathlib import Path
from typing import Any, Final

import pytest

from publisher.learning.variants.variant_spec import RUNGS, VariantSpec
from publisher.views.html_report import report
from publisher.views.pareto_plot import png, svg

CHROMIUM: Final = shutil.which("chromium")
FLAGS: Final = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
    "--allow-file-access-from-files",
)  # fmt: skip
FRONT: Final = ("pruned-50", "pruned-80-qat", "clustered", "pruned-clustered-qat", "student", "distilled-int8")
# A browser's window has a minimum width; a frame has none, and is its page's screen.
FRAME: Final = """<!doctype html><body style="margin:0">
<iframe id="f" src="{url}" style="width:{width}px;height:3000px;border:0"></iframe><pre id="told"></pre>
<script>onload = () => {{
  const page = document.getElementById("f").contentDocument, look = page.defaultView;
  const shows = (what) => look.getComputedStyle(page.querySelector(what)).display !== "none";
  const cut = [...page.querySelectorAll("h1, h2, p, th, td, dd, li, svg, figcaption")].filter((part) => {{
    const box = part.getBoundingClientRect();
    const beyond = box.left < 0 || box.right > look.innerWidth + 0.5;
    return box.width > 0 && (beyond || part.scrollWidth > part.clientWidth + 1);
  }});
  document.getElementById("told").textContent = JSON.stringify({{
    inner: look.innerWidth, scroll: page.documentElement.scrollWidth, wide: shows("svg.wide"),
    narrow: shows("svg.narrow"), head: shows("thead"), rows: page.querySelectorAll("tbody tr").length,
    front: [...page.querySelectorAll("tr.front th")].map((name) => name.textContent),
    cut: cut.map((part) => part.textContent.slice(0, 40)), paper: look.getComputedStyle(page.body).backgroundColor,
    letters: look.getComputedStyle(page.querySelector("td")).fontSize,
    picture: [...page.querySelectorAll("svg")].map((part) => part.getBoundingClientRect().width).filter(Boolean),
  }});
}};</script>"""

needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: sudo apt-get install chromium, or run scripts/test as root"
)


def facts() -> dict[str, Any]:
    """Sixteen rungs with figures as digits has them."""
    rungs = [_rung(name, number) for number, name in enumerate(RUNGS)]
    return {
        "recipe": "digits <two>",
        "recipe_sha256": "a" * 64,
        "data_sha256": "b" * 64,
        "calibration_sha256": "c" * 64,
        "calibration_samples": 200,
        "settings": {"epochs": 20, "batch_size": 32, "seed": 0},
        "rungs": rungs,
        "front": list(FRONT),
        "impossible": [{"name": "pruned-90", "technique": "", "reason": "no layer x_1, a <Lambda>"}],
        "distillation": {"seeds": [0, 1, 2], "taught_mean": 0.9661, "alone_mean": 0.9634},
        "took_s": 139.2,
        "cpu_s": 250.0,
        "versions": {"tensorflow": "2.21.0", "tensorflow-model-optimization": "0.8.0"},
    }


def _rung(name: str, number: int) -> dict[str, Any]:
    accuracy = 0.96 + 0.002 * (number % 13)
    return {
        "name": name,
        "technique": VariantSpec.parse(name).technique(),
        "file_bytes": 439_656 // (1 + number % 4),
        "wire_bytes": round(404_547 * 0.8**number),
        "accuracy": accuracy,
        "accuracy_low": accuracy - 0.015,
        "accuracy_high": accuracy + 0.008,
        "accuracy_samples": 497,
        "accuracy_change": accuracy - 0.96,
        "agreement": 0.99,
        "latency_ms_p50": 0.017,
        "latency_ms_p95": 0.021,
        "memory_peak_bytes": 4_247_552,
        "sparsity": 0.8,
    }


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """The report in a folder of its own."""
    alone = tmp_path / "alone"
    alone.mkdir()
    (alone / "report.html").write_text(report(facts()), encoding="utf-8")
    return alone / "report.html"


def browse(folder: Path, url: str, *flags: str) -> str:
    """What the browser prints."""
    assert CHROMIUM is not None
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={folder / 'profile'}", *flags, url]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=folder)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def framed(folder: Path, page: Path, width_px: int) -> Path:
    """A page that shows the report at a width, and tells how it lies there."""
    frame = folder / f"frame-{width_px}.html"
    frame.write_text(FRAME.format(url=page.as_uri(), width=width_px))
    return frame


def measured(folder: Path, page: Path, width_px: int, *flags: str) -> dict[str, Any]:
    dom = browse(folder, framed(folder, page, width_px).as_uri(), "--dump-dom", *flags)
    told = re.search(r'<pre id="told">(\{.*?\})</pre>', dom, re.DOTALL)
    assert told, dom[-2_000:]
    lies: dict[str, Any] = json.loads(unescape(told[1]))
    return lies


@needs_chromium
@pytest.mark.parametrize(("width_px", "is_wide"), [(1280, True), (400, False)])
def test_the_page_fits_the_screen_and_nothing_is_cut_off(
    tmp_path: Path, page: Path, width_px: int, is_wide: bool
) -> None:
    lies = measured(tmp_path, page, width_px)
    assert (lies["inner"], lies["scroll"]) == (width_px, width_px)
    assert lies["cut"] == []
    assert (lies["wide"], lies["narrow"], lies["head"]) == (is_wide, not is_wide, is_wide)
    assert (lies["rows"], lies["front"]) == (len(RUNGS), [name for name in RUNGS if name in FRONT])
    assert float(lies["letters"].removesuffix("px")) >= 14
    (picture_px,) = lies["picture"]
    assert picture_px >= 0.7 * width_px

    browse(
        tmp_path,
        framed(tmp_path, page, width_px).as_uri(),
        f"--window-size={max(width_px, 500)},3000",
        f"--screenshot={tmp_path / 'shot.png'}",
    )
    shot = (tmp_path / "shot.png").read_bytes()
    assert struct.unpack(">II", shot[16:24]) == (max(width_px, 500), 3000)
    assert len(shot) > 50_000  # an empty page is a tenth of it


@needs_chromium
def test_the_page_is_dark_where_the_reader_wants_it_dark(tmp_path: Path, page: Path) -> None:
    light = measured(tmp_path, page, 1280, "--blink-settings=preferredColorScheme=1")["paper"]
    dark = measured(tmp_path, page, 1280, "--blink-settings=preferredColorScheme=0")["paper"]
    assert (light, dark) == ("rgb(255, 255, 255)", "rgb(21, 25, 29)")


def test_the_page_needs_nothing_beside_it(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<script" not in text
    assert not re.search(r"<link|<img|<iframe|@import|\bsrc=|url\((?!#)", text)
    hrefs = set(re.findall(r'href="([^"]*)"', text))
    assert hrefs
    assert all(href.startswith("#") for href in hrefs)
    names = re.findall(r' id="([^"]+)"', text)
    assert len(names) == len(set(names))  # two pictures on one page
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', text)) <= set(names)
    assert "digits &lt;two&gt;" in text
    assert "a &lt;Lambda&gt;" in text


def test_the_picture_is_the_same_each_time_in_dots_and_in_lines() -> None:
    assert svg(facts()) == svg(facts())
    assert set(re.findall("<!-- ([a-z][a-z0-9-]+) -->", svg(facts()))) == {"float32", *FRONT}  # what is written in it
    assert png(facts()) == png(facts())
    assert struct.unpack(">II", png(facts())[16:24]) == (1440, 832)


def test_a_ladder_of_one_rung_has_its_picture_too() -> None:
    one = facts() | {"rungs": facts()["rungs"][:1], "front": ["float32"], "impossible": [], "distillation": None}
    assert "float32" in report(one)
