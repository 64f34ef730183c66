"""``search doctor``."""

from search.cli.action import done_by
from search.cli.options import Artifacts, Cache, Home, Json, PerGpu, Storage


@done_by("search.cli.actions.doctor.doctor")
def command(
    storage: Storage = "",
    artifacts: Artifacts = "",
    home: Home = None,
    cache: Cache = None,
    per_gpu: PerGpu = "",
    as_json: Json = False,
) -> None:
    """Say what this machine has and lacks: cores, memory, GPUs, disk, database, artifact store,
    versions.

    \b
    Example:
      search doctor --storage postgresql://user@host/db
    """
