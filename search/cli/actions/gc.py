"""The removal of what no trial needs."""

import json
from pathlib import Path

import typer

from search.cli.values import parse_duration
from search.database.connections import open_engine, reachable
from search.database.schema import check_version
from search.garbage.cache import check_cache, sweep_prepared
from search.garbage.store import Swept, check_age, collect, total
from search.place import name_artifacts, name_cache, open_database

KINDS = {
    "rows": "rows of deleted trials and studies",
    "pointers": "checkpoint pointers of finished trials",
    "blobs": "weights and states",
    "pictures": "pictures",
    "drafts": "half-written files",
    "prepared": "prepared data sets",
    "copies": "copies of given weights",
    "sources": "copies of data in buckets",
    "locks": "lock files",
}


def gc(
    storage: str,
    artifacts: str,
    older_than: str,
    home: Path | None,
    cache: Path | None,
    *,
    prepared: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove it, or say what would go."""
    age_s = parse_duration(older_than, "--older-than")
    store = name_artifacts(artifacts, home)
    with open_database(storage, home) as url, reachable(url):
        engine = open_engine(url)
        with engine.connect() as connection:
            check_version(connection)
        check_age(engine, age_s)
        if prepared:
            check_cache(name_cache(cache, home))
        swept = collect(engine, store, older_than_s=age_s, dry_run=dry_run)
        swept += (
            sweep_prepared(engine, name_cache(cache, home), dry_run=dry_run) if prepared else []
        )
        engine.dispose()
    totals = total(swept)
    if as_json:
        removed = {
            kind: {"count": each.count, "bytes": each.size_bytes} for kind, each in totals.items()
        }
        typer.echo(json.dumps({"dry_run": dry_run, "removed": removed}))
    else:
        _print(list(totals.values()), dry_run=dry_run)


def _print(swept: list[Swept], *, dry_run: bool) -> None:
    for each in swept:
        size = f", {each.size_bytes / 1e6:,.1f} MB" if each.size_bytes else ""
        typer.echo(
            f"{'would remove' if dry_run else 'removed'} {each.count} {KINDS[each.kind]}{size}"
        )
