"""Commands that tidy up around studies: gc, migrate."""

import json
from typing import TYPE_CHECKING, Annotated

import typer

from objectives.errors import UserError
from search.cli.options import Artifacts, Cache, Home, Json, Sets, Storage, StudyName, check_study_name, parse_duration
from search.cli.study_options import MOST_TRIALS, GpuHours, Recipes, SpaceName, Until
from search.place import name_artifacts, name_cache, open_database, open_place

if TYPE_CHECKING:
    from search.garbage.store import Swept

KINDS = {
    "rows": "rows of deleted trials and studies",
    "pointers": "checkpoint pointers of finished trials",
    "blobs": "weights and states",
    "pictures": "pictures",
    "drafts": "half-written files",
    "prepared": "prepared data sets",
    "locks": "lock files",
}


def register(app: typer.Typer) -> None:
    """Add this module's commands to the program."""
    app.command("gc")(gc)
    app.command("migrate")(migrate)


def check_target(name: str) -> str:
    """The name itself.

    Raises: UserError when it cannot name a study.
    """
    try:
        return check_study_name(name)
    except UserError as error:
        raise UserError(str(error).replace("--study", "--to")) from None


def gc(
    storage: Storage = "",
    artifacts: Artifacts = "",
    older_than: Annotated[
        str, typer.Option("--older-than", help="Younger weights and pictures stay: they may be in the making.")
    ] = "1h",
    prepared: Annotated[
        bool, typer.Option("--prepared", help="Also prepared data in --cache that no study uses, untouched for a day.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: Json = False,
    home: Home = None,
    cache: Cache = None,
) -> None:
    """Remove what no trial of any study in the database needs, from the database and the artifact store.

    Weights of the best trials and of the control stay, as do those of every trial that has not ended. It may be killed
    and run again at any moment, also while workers run. A store that two databases share is left alone.

    \b
    Example:
      search gc --storage postgresql://user@host/db --artifacts /shared/artifacts --dry-run
    """
    from search.database.connections import open_engine, reachable
    from search.garbage.cache import check_cache, sweep_prepared
    from search.garbage.store import check_age, collect, total

    age_s = parse_duration(older_than, "--older-than")
    store = name_artifacts(artifacts, home)
    with open_database(storage, home) as url, reachable(url):
        engine = open_engine(url)
        check_age(engine, age_s)
        if prepared:
            check_cache(name_cache(cache, home))
        swept = collect(engine, store, older_than_s=age_s, dry_run=dry_run)
        swept += sweep_prepared(engine, name_cache(cache, home), dry_run=dry_run) if prepared else []
        engine.dispose()
    found = total(swept)
    if as_json:
        removed = {kind: {"count": each.count, "bytes": each.size_bytes} for kind, each in found.items()}
        typer.echo(json.dumps({"dry_run": dry_run, "removed": removed}))
    else:
        _print(list(found.values()), dry_run=dry_run)


def migrate(
    to: Annotated[str, typer.Option("--to", callback=check_target, help="Name of the new study.")],
    space: SpaceName,
    trials: Annotated[int, typer.Option("--trials", min=1, max=MOST_TRIALS, help="New trials, besides the copied ones.")],
    study: StudyName = "default",
    sets: Sets = [],  # noqa: B006  # typer's way to say that an option repeats
    recipes: Recipes = "",
    gpu_hours: GpuHours = 0.0,
    until: Until = "",
    data: Annotated[str, typer.Option("--data", help="The study's data on this host, where it lies elsewhere.")] = "",
    storage: Storage = "",
    artifacts: Artifacts = "",
    home: Home = None,
    cache: Cache = None,
) -> None:
    """Start a study in a changed space with those ended trials of another one that fit into it.

    --trials counts new trials; the copies come on top of them. With equal arguments again: nothing happens.

    \b
    Example:
      search migrate --study mars --to mars-deeper --space mars --set 'model.depth={int: [3, 6]}' --trials 40
    """
    from search.database.connections import reachable
    from search.study.migrate import Wish, migrate_study
    from search.study.stored import open_study

    if to == study:
        raise UserError(f"--to must name another study than {study!r}: a study never changes")
    wish = Wish(to, space, trials, tuple(sets), recipes, 3600 * gpu_hours, parse_duration(until), data)
    with open_place(storage, artifacts, home, cache) as place, reachable(place.storage):
        old = open_study(place.storage, study)
        for line in migrate_study(old, wish, place):
            typer.echo(line)
        old.close()


def _print(swept: "list[Swept]", *, dry_run: bool) -> None:
    for each in swept:
        size = f", {each.size_bytes / 1e6:,.1f} MB" if each.size_bytes else ""
        typer.echo(f"{'would remove' if dry_run else 'removed'} {each.count} {KINDS[each.kind]}{size}")
