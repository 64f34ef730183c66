"""The page: head, sections in their order, and the file."""

from pathlib import Path

from objectives.outputs.atomic import file_at_once
from objectives.outputs.place import refuse_output
from search.artifacts.pictures import PictureStore
from search.program import PACKAGE, program_version
from search.report.findings import Findings, find
from search.report.markup import Html, document, element, join, style_sheet
from search.report.sections.classes import classes
from search.report.sections.confirmed import confirmed
from search.report.sections.costs import costs
from search.report.sections.headline import believability, headline
from search.report.sections.parameters import parameters
from search.report.sections.pictures import pictures
from search.report.sections.progress import progress
from search.report.sections.starts import starts
from search.report.sections.trials import trials
from search.report.style import CSS
from search.study.stored import Study

SECTIONS = (
    headline,
    believability,
    confirmed,
    classes,
    progress,
    pictures,
    starts,
    parameters,
    costs,
    trials,
)

TITLE_END = ": search report"
HEAD_CHARACTERS = 4096  # in which the title stands

# nothing may be asked of anyone, whatever a name or a message holds
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def refuse_report(out: Path, *, force: bool) -> None:
    """Refuse to write a report to ``out`` where something else stands.

    Raises:
        UserError: Something else stands there.
    """
    refuse_output(out, "report", written_here=_is_report, force=force)


def _is_report(path: Path) -> bool:
    with path.open(encoding="utf-8") as opened:
        return f"{TITLE_END}</title>" in opened.read(HEAD_CHARACTERS)


def write_report(
    study: Study, url: str, pictures: PictureStore, out: Path, *, replace: bool = False
) -> Findings:
    """Write the report on a study, whole or not at all; returns what it says.

    ``url`` is the database's, where the study that confirms this one may be.

    Raises:
        UserError: The study was deleted.
        WorldError: The file cannot be written.
    """
    findings = find(study, url, pictures)
    page = build_page(findings)
    with file_at_once(out, replace=replace) as draft:
        draft.write_text(page, encoding="utf-8", errors="xmlcharrefreplace")
    return findings


def build_page(findings: Findings) -> str:
    """Return the report as one page without scripts, which loads nothing."""
    body = element("main", *(each(findings) for each in SECTIONS))
    return document(_head(findings.study.spec.name), join([body, _footer(findings)]))


def _head(name: str) -> Html:
    return join(
        [
            element("meta", charset="utf-8"),
            element("meta", http_equiv="Content-Security-Policy", content=POLICY),
            element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
            element("meta", name_="referrer", content="no-referrer"),
            element("title", f"{name}{TITLE_END}"),
            style_sheet(CSS),
        ]
    )


def _footer(findings: Findings) -> Html:
    spec = findings.study.spec
    sentence = (
        f"{PACKAGE} {program_version()}, objective version "
        f"{spec.objective_version}, space "
        f"{spec.space_fingerprint[:12]}, data {spec.data_fingerprint[:12]}, seed {spec.seed}."
    )
    return element("footer", sentence)
