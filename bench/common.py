"""What benchmarks share: services by dev/stack, an nginx of their own, a psql
session that stays open, tables and percentiles.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import pathlib
import pwd
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
NAME = "bench"
PORT_BASE = 8980
NGINX_PORT = PORT_BASE + 10

# title: rows; the columns are the first row's keys
Tables = dict[str, list[dict[str, Any]]]


class BenchError(Exception):
    """One sentence for the user."""


def command(arguments: Sequence[str | pathlib.Path], text: str = "") -> str:
    """Runs a program to its end and returns what it printed."""
    done = subprocess.run([str(a) for a in arguments], input=text, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          check=False)
    if done.returncode != 0:
        raise BenchError(f"{arguments[0]} failed:\n{done.stdout.rstrip()}")
    return done.stdout


@contextlib.contextmanager
def stack(*parts: str, name: str = NAME,
          base: int = PORT_BASE) -> Iterator[dict[str, str]]:
    """Services of a stack of its own, empty; yields what `env` prints."""
    program = [ROOT / "dev" / "stack", "--name", name, "--port-base",
               str(base)]
    with contextlib.suppress(BenchError):
        command([*program, "stop"])
    shutil.rmtree(ROOT / ".run" / name, ignore_errors=True)
    try:
        command([*program, "start", *parts])
        lines = command([*program, "env"]).splitlines()
        yield {name: "".join(shlex.split(value)) for name, value in
               (line.split("=", 1) for line in lines if "=" in line)}
    finally:
        command([*program, "stop"])


class Psql:
    """A session of psql that stays open: a statement costs its round trip."""

    def __init__(self, url: str) -> None:
        self.process = subprocess.Popen(
            ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d",
             url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            bufsize=1)

    def run(self, sql: str) -> None:
        """Returns when the statement has been answered."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{sql}\n\\echo done\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line == "done\n":
                return
        raise BenchError(f"psql ended at: {sql[:200]}")

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def migrate(database: str) -> None:
    """PostgreSQL's migrations, as their owner."""
    for path in sorted((ROOT / "migrations" / "postgres").glob("*.sql")):
        command(["psql", "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", "-d",
                 database, "-f", path])


def module() -> pathlib.Path:
    """The module that is measured: TRACK_MODULE, else the tree's."""
    return pathlib.Path(os.environ.get("TRACK_MODULE")
                        or ROOT / "build" / "ngx_http_track_module.so")


@contextlib.contextmanager
def nginx(http: str, workers: int = 2, port: int = NGINX_PORT,
          modules: Sequence[str | pathlib.Path] = ()) -> Iterator[pathlib.Path]:
    """An nginx with the module, or with others instead; @DIR@ and @PORT@ are
    filled in.  Yields its folder."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="track-bench-"))
    folder.chmod(0o755)
    user = ""
    if os.geteuid() == 0:
        user = "user www-data;"
    for name in ("schema", "spool"):
        (folder / name).mkdir()
        if user:
            os.chown(folder / name, *pwd.getpwnam("www-data")[2:4])
    load = "".join(f"load_module {path};\n" for path in modules or [module()])
    conf = folder / "nginx.conf"
    conf.write_text(
        f"{load}{user}\n"
        f"worker_processes {workers};\npid {folder}/nginx.pid;\n"
        f"error_log {folder}/error.log notice;\n"
        "events { worker_connections 2048; }\nhttp {\naccess_log off;\n"
        "keepalive_requests 10000000;\n"
        + http.replace("@DIR@", str(folder)).replace("@PORT@", str(port))
        + "}\n")
    program = ["nginx", "-p", f"{folder}/", "-c", str(conf), "-e",
               f"{folder}/error.log"]
    command(program)
    try:
        yield folder
    finally:
        pid = int((folder / "nginx.pid").read_text())
        command([*program, "-s", "quit"])
        await_true(lambda: not pathlib.Path(f"/proc/{pid}").exists(), 20,
                   "nginx to leave")
        shutil.rmtree(folder)


def workers(folder: pathlib.Path) -> list[int]:
    """The pids of an nginx's workers."""
    master = int((folder / "nginx.pid").read_text())
    path = pathlib.Path(f"/proc/{master}/task/{master}/children")
    return [int(pid) for pid in path.read_text().split()]


def load(address: str, path: str, *, connections: int, seconds: float,
         warm: float = 0.3, events: int = 1, sessions: int = 1000,
         rate: float = 0, gzip: bool = False,
         pids: Sequence[int] = ()) -> dict[str, Any]:
    """One run of bench-load (bench/load/main.c says what it does)."""
    program = ROOT / "build" / "bench-load"
    if not program.exists():
        raise BenchError("build/bench-load is missing: run make bench")
    text = command([program, "-a", address, "-u", path, "-c", str(connections),
                    "-t", str(seconds), "-w", str(warm), "-e", str(events),
                    "-s", str(sessions), "-r", str(rate),
                    *(["-z"] if gzip else []),
                    *(word for pid in pids for word in ("-p", str(pid)))])
    return dict(json.loads(text))


def await_true(question: Callable[[], bool], seconds: float,
               what: str) -> None:
    end = time.monotonic() + seconds
    while not question():
        if time.monotonic() > end:
            raise BenchError(f"waited {seconds:g} s for {what}")
        time.sleep(0.05)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def machine() -> str:
    """What the numbers were measured on."""
    model = "unknown CPU"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return f"{os.cpu_count()} x {model}"


def print_table(rows: list[dict[str, Any]]) -> None:
    """One line a row; the columns are the first row's keys."""
    heads = list(rows[0])
    cells = [[f"{row[h]:.1f}" if isinstance(row[h], float) else str(row[h])
              for h in heads] for row in rows]
    widths = [max(map(len, column)) for column in zip(heads, *cells)]
    for line in [heads, *cells]:
        print("  ".join([line[0].ljust(widths[0])]
                        + [text.rjust(w) for text, w in
                           zip(line[1:], widths[1:])]).rstrip())
