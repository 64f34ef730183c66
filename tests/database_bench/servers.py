"""Postgres servers of scenes: each begins from a copy of one that holds a study."""

import subprocess
from pathlib import Path

from faults.postgres import Server, free_port

SETTINGS = ("max_connections=500",)  # so that three for each of 64 workers fit


def new_server(folder: Path) -> Server:
    """Return a running server with an empty database."""
    return Server(folder, *SETTINGS)


class CopiedServer(Server):
    """A running server with the data of one that was stopped."""

    def __init__(self, original: Server, folder: Path) -> None:
        self.folder = folder
        self.settings = original.settings
        self.user = original.user
        self.port = free_port()
        subprocess.run(["cp", "-a", original.folder, folder], check=True)
        self.start()
