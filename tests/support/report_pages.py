"""Reads a report's page as tests do: by its sections, tables and words."""

from pathlib import Path
from xml.etree import ElementTree

from search.artifacts.pictures import PictureStore
from search.report.page import write_report
from search.study.stored import Study


def report(study: Study, database: str, pictures: PictureStore, out: Path) -> ElementTree.Element:
    """The body of a study's report, which is well-formed and loads nothing."""
    write_report(study, database, pictures, out)
    page = ElementTree.fromstring(out.read_text(encoding="utf-8"))
    assert not {"script", "link", "iframe", "object", "a"} & {each.tag for each in page.iter()}
    for each in page.iter():
        assert (
            each.get("src", "data:").startswith("data:image/png;base64,")
            or "src" not in each.attrib
        )
        assert not [key for key in each.attrib if key.startswith("on") or key.endswith("href")]
        assert "url(" not in each.get("style", "") + (
            each.text or "" if each.tag == "style" else ""
        )
    body = page.find("body")
    assert body is not None
    return body


def words(element: ElementTree.Element) -> str:
    """The words of an element, single spaces between them."""
    return " ".join(" ".join(element.itertext()).split())


def sections(body: ElementTree.Element) -> list[str | None]:
    """The names of a report's sections, in their order."""
    return [section.get("id") for section in body.iter("section")]


def part(body: ElementTree.Element, name: str) -> ElementTree.Element:
    """The section of that name."""
    (found,) = (section for section in body.iter("section") if section.get("id") == name)
    return found


def cells(table: ElementTree.Element) -> list[list[str]]:
    """The words of a table, row by row."""
    return [[words(cell) for cell in row] for row in table.iter("tr")]
