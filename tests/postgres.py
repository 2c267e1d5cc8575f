"""A PostgreSQL server of one's own for tests: on loopback, in a temporary folder."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

PASSWORD = "se-cret/7@x"
_QUOTED = "se-cret%2F7%40x"


def binaries() -> Path | None:
    """The folder with initdb and postgres; None if PostgreSQL is not installed."""
    on_path = shutil.which("postgres")
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: p.parts[4])
    if on_path:
        found.append(Path(on_path))
    return found[-1].parent if found else None


class Server:
    """A server whose data lie in a folder; its one user has a password."""

    def __init__(self, folder: Path) -> None:
        found = binaries()
        assert found is not None
        self._bin = found
        self._data = folder / "data"
        self._user = _unprivileged()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        folder.mkdir(parents=True, exist_ok=True)
        secret = folder / "password"
        secret.write_text(PASSWORD)
        for path in (folder, secret):
            if self._user:
                os.chown(path, pwd.getpwnam(self._user).pw_uid, -1)
        self._run(
            "initdb", "--pgdata", str(self._data), "--username", "me", "--auth", "scram-sha-256",
            "--pwfile", str(secret), "--no-sync", "--encoding", "UTF8", "--locale", "C",
        )  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def url(self, database: str, user: str = "me") -> str:
        """The address of a database, which is made if it is missing."""
        import psycopg
        from psycopg.sql import SQL, Identifier

        with psycopg.connect(
            host="127.0.0.1", port=self.port, user="me", password=PASSWORD, dbname="postgres",
            autocommit=True,
        ) as connection:  # fmt: skip
            known = connection.execute("SELECT datname FROM pg_database").fetchall()
            if (database,) not in known:
                connection.execute(SQL("CREATE DATABASE {}").format(Identifier(database)))
        return f"postgresql://{user}:{_QUOTED}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._process = subprocess.Popen(
            [
                str(self._bin / "postgres"), "-D", str(self._data), "-p", str(self.port),
                "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=",
                "-c", "shared_buffers=16MB", "-c", "fsync=off", "-c", "max_connections=60",
            ],
            user=self._user, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            cwd=self._data.parent,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while True:
            try:
                self.url("postgres")
                return
            except Exception:
                assert time.monotonic() < deadline, "PostgreSQL does not answer"
                assert self._process.poll() is None, "PostgreSQL has ended"
                time.sleep(0.1)

    def stop(self) -> None:
        """Stop the server at once, as if it had crashed ("immediate shutdown")."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(timeout=60)

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [str(self._bin / program), *arguments], user=self._user, check=True,
            capture_output=True, cwd=self._data.parent,
        )  # fmt: skip


def _unprivileged() -> str | None:
    """Whom to run the server as: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"
