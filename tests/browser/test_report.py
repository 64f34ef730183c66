"""The report on a study in a real Chromium without a network. Not part of the default run: ``pytest
tests/browser``.

``SCREENSHOT_DIR`` names a folder for pictures of the page.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from objectives.data.dataset import Dataset
from objectives.pictures.charts import confusion_picture
from objectives.pictures.panels import prediction_panel
from search.artifacts.pictures import PictureStore, open_pictures
from search.report.page import write_report
from spaces import load_stored_space
from tests.support.report_studies import (
    confirming_spec,
    confirming_trials,
    drawn_trials,
    spec_of,
    surely_best,
    write_study,
)

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SIZES = {"wide": (1280, 900), "phone": (390, 844)}
SECTIONS = [
    "believable",
    "confirmation",
    "classes",
    "progress",
    "pictures",
    "origins",
    "parameters",
    "cost",
    "trials",
]
# for each chart: does every mark that it names lie within it, and has it a size on the page?
DRAWN = """
[...document.querySelectorAll('svg.chart, svg.strip')].map(svg => {
  const box = svg.getBoundingClientRect(), marks = [...svg.querySelectorAll('path, circle, text')];
  const within = mark => { const m = mark.getBoundingClientRect(); return m.left > box.left - 12 && m.right < box.right + 12; };
  return {name: svg.getAttribute('aria-label'), width: box.width, height: box.height, marks: marks.length,
          outside: marks.filter(mark => !within(mark)).length};
})
"""


@pytest.fixture(scope="module")
def report(
    make_database: Callable[[], str], terrain: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The report on a study of 48 trials with pictures and a confirmation; its name and a class are
    markup.
    """
    database, folder = make_database(), tmp_path_factory.mktemp("report")
    pictures = open_pictures(str(folder / "artifacts"))
    spec = spec_of("rocks <script>alert(1)</script>", preset="small", trials=60)
    trials = drawn_trials(load_stored_space(spec.space), 48, seed=1)
    surely_best(trials)
    ranked = sorted(
        (trial for trial in trials if trial.value is not None),
        key=lambda trial: -(trial.value or 0.0),
    )
    for trial in (trials[0], ranked[0]):
        trial.system_attrs |= stored(pictures, trial.number, terrain)
    study = write_study(database, spec, trials)
    scores = {
        trial.number: [(trial.value or 0.0) - 0.02 + 0.01 * seed for seed in range(3)]
        for trial in (trials[0], *ranked[:3])
    }
    write_study(database, confirming_spec(spec, list(scores), 3), confirming_trials(scores)).close()
    write_report(study, database, pictures, folder / "report.html")
    study.close()
    return folder / "report.html"


def stored(pictures: PictureStore, number: int, data: Dataset) -> dict[str, str]:
    """Pictures in the store as a worker leaves them, and the rows that name them."""
    frames = data.parts["validation"][:4]
    images, masks = data.images[frames], data.masks[frames]
    confusion = np.diag(np.full(len(data.spec.class_names), 900)) + 30
    files = {
        "predictions.png": prediction_panel(
            images, masks, np.roll(masks, 3 + number % 5, axis=2), data.spec
        ),
        "confusion.png": confusion_picture(confusion, data.spec),
    }
    rows = {}
    for index, (name, png) in enumerate(files.items()):
        key = f"{number:08x}-{index:04x}"
        pictures._objects.write(key, png)
        rows[f"artifacts:{key}"] = json.dumps(
            {"artifact_id": key, "filename": name, "mimetype": "image/png", "encoding": None}
        )
    return rows


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Browser, report: Path) -> Iterator[Callable[..., Page]]:
    """Opens the report without a network; it may say nothing on the console and ask for nothing but
    itself.
    """
    pages: list[Page] = []
    said: list[str] = []
    asked: list[str] = []

    def opened(size: str = "wide", scheme: str = "light") -> Page:
        width, height = SIZES[size]
        context = browser.new_context(
            offline=True,
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
        )
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(report.as_uri())
        pages.append(page)
        return page

    yield opened
    for page in pages:
        page.context.close()
    assert said == []
    assert [url for url in asked if not url.startswith("data:image/png")] == [
        report.as_uri()
    ] * len(pages)


def screenshot(page: Page, name: str) -> None:
    if folder := os.environ.get("SCREENSHOT_DIR"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"report-{name}.png", full_page=True)


@pytest.mark.parametrize(
    ("size", "scheme"), [("wide", "light"), ("wide", "dark"), ("phone", "light")]
)
def test_everything_is_drawn(open_page: Callable[..., Page], size: str, scheme: str) -> None:
    page = open_page(size, scheme)
    screenshot(page, f"{size}-{scheme}")
    assert page.locator("h1").inner_text() == "rocks <script>alert(1)</script>"
    assert [section.get_attribute("id") for section in page.locator("section").all()] == SECTIONS
    charts = page.evaluate(DRAWN)
    # device time, and the slices
    assert len([chart for chart in charts if "against" in chart["name"]]) == 1 + 6
    for chart in charts:
        assert chart["width"] > 150, chart
        assert chart["height"] > 10, chart
        assert chart["marks"] >= 1, chart
        assert chart["outside"] == 0, chart
    images = page.locator("img").all()
    assert len(images) == 4
    for image in images:
        assert image.evaluate("image => image.complete && image.naturalWidth > 100")


@pytest.mark.parametrize("size", SIZES)
def test_the_page_is_no_wider_than_the_window(open_page: Callable[..., Page], size: str) -> None:
    page = open_page(size)
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]


def test_the_colours_follow_light_and_dark(open_page: Callable[..., Page]) -> None:
    ground = "getComputedStyle(document.body).backgroundColor"
    ink = "getComputedStyle(document.querySelector('path.line.best')).stroke"
    light, dark = open_page("wide", "light"), open_page("wide", "dark")
    assert light.evaluate(ground) == "rgb(255, 255, 255)"
    assert dark.evaluate(ground) == "rgb(20, 23, 27)"
    assert light.evaluate(ink) != dark.evaluate(ink)


def test_on_paper_every_trial_is_there(open_page: Callable[..., Page]) -> None:
    page = open_page("wide", "dark")
    box = (
        "(() => { const box = document.querySelector('.tall'); return box.scrollHeight - "
        "box.clientHeight; })()"
    )
    assert page.evaluate(box) > 100  # on the screen the table scrolls
    page.emulate_media(media="print")
    assert page.evaluate(box) <= 2
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    screenshot(page, "print")
