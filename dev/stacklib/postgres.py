"""PostgreSQL 15: Debian's server, a cluster of our own on a loopback port."""

from __future__ import annotations

import pathlib
import signal
import subprocess

from . import core

BIN = pathlib.Path("/usr/lib/postgresql/15/bin")


class Postgres(core.Part):
    name = "postgres"
    ports = ("postgres",)
    stop_signal = signal.SIGINT     # fast shutdown: ends sessions, checkpoints

    def __init__(self, stack: core.Stack) -> None:
        super().__init__(stack)
        # It refuses to run as root.
        self.user = core.unprivileged("postgres")

    def url(self, role: str, database: str = "track") -> str:
        port = self.stack.port("postgres")
        return f"postgresql://{role}@127.0.0.1:{port}/{database}"

    def prepare(self) -> None:
        if not BIN.exists():
            raise core.StackError("PostgreSQL 15 is missing: run dev/setup")
        home = core.place(self.dir / "data", self.user)
        self.cluster = home / "cluster"
        if self.cluster.exists():
            return
        # Under another name first: Ctrl-C leaves no half of a cluster.
        core.run(["rm", "-rf", home / "new"], "cleaning up")
        core.run([BIN / "initdb", "-D", home / "new", "-U", "postgres",
                  "-E", "UTF8", "--locale=C.UTF-8", "--auth=trust",
                  "--no-sync"], "initdb", user=self.user, cwd=pathlib.Path("/"))
        (home / "new").rename(self.cluster)

    def spawn(self) -> None:
        self.process.await_reaped()
        self.process.spawn(
            [BIN / "postgres", "-D", self.cluster,
             "-p", str(self.stack.port("postgres")),
             "-c", "listen_addresses=127.0.0.1",
             "-c", f"unix_socket_directories={self.socket_dir()}",
             "-c", "shared_buffers=32MB", "-c", "log_line_prefix=%m [%p] "],
            user=self.user)

    def socket_dir(self) -> str:
        """Beside the cluster, unless a socket's path (107 bytes) is too short
        for that: then loopback alone."""
        where = str(self.cluster.parent)
        return where if len(where) < 80 else ""

    def answers(self) -> bool:
        return subprocess.run(
            [BIN / "pg_isready", "-q", "-d", self.url("postgres", "postgres")],
            check=False).returncode == 0

    def settle(self) -> None:
        have = self.query("SELECT 1 FROM pg_database WHERE datname = 'track'")
        if not have:
            self.query("CREATE DATABASE track")

    def query(self, sql: str) -> str:
        return core.run(["psql", "-X", "-A", "-t", "-q", "-d",
                         self.url("postgres", "postgres"), "-c", sql], "psql").strip()

    def env(self) -> dict[str, str]:
        return {"DATABASE_URL": self.url("postgres")}
