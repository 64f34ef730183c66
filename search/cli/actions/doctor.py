"""What this machine has and lacks."""

import json
from pathlib import Path

import typer

from search.doctor.checks import examine


def doctor(
    storage: str,
    artifacts: str,
    home: Path | None,
    cache: Path | None,
    per_gpu: str,
    *,
    as_json: bool,
) -> None:
    """Print what was found; exit code 1 where something lacks."""
    findings = examine(storage, artifacts, home, cache, per_gpu)
    if as_json:
        typer.echo(
            json.dumps(
                {
                    finding.what: {"good": finding.good, "found": finding.found}
                    for finding in findings
                }
            )
        )
    else:
        for finding in findings:
            typer.echo(f"{'ok  ' if finding.good else 'LACK'}  {finding.what:<15} {finding.found}")
    if not all(finding.good for finding in findings):
        raise typer.Exit(1)
