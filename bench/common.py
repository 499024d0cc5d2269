"""What benchmarks share: services by dev/stack, an nginx of their own, a psql
session that stays open, tables and percentiles.
"""

from __future__ import annotations

import contextlib
import math
import os
import pathlib
import pwd
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
NAME = "bench"
PORT_BASE = 8980
NGINX_PORT = PORT_BASE + 10


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
def stack(*parts: str) -> Iterator[dict[str, str]]:
    """Services under the name "bench", empty; yields what `env` prints."""
    program = [ROOT / "dev" / "stack", "--name", NAME, "--port-base",
               str(PORT_BASE)]
    with contextlib.suppress(BenchError):
        command([*program, "stop"])
    shutil.rmtree(ROOT / ".run" / NAME, ignore_errors=True)
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


@contextlib.contextmanager
def nginx(http: str, workers: int = 2) -> Iterator[pathlib.Path]:
    """An nginx with the module; @DIR@ and @PORT@ are filled in.  Yields its
    folder."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="track-bench-"))
    folder.chmod(0o755)
    (folder / "schema").mkdir()
    user = ""
    if os.geteuid() == 0:
        entry = pwd.getpwnam("www-data")
        os.chown(folder / "schema", entry.pw_uid, entry.pw_gid)
        user = "user www-data;"
    conf = folder / "nginx.conf"
    conf.write_text(
        f"load_module {ROOT}/build/ngx_http_track_module.so;\n{user}\n"
        f"worker_processes {workers};\npid {folder}/nginx.pid;\n"
        f"error_log {folder}/error.log notice;\n"
        "events { worker_connections 2048; }\nhttp {\naccess_log off;\n"
        "keepalive_requests 10000000;\n"
        + http.replace("@DIR@", str(folder)).replace("@PORT@",
                                                     str(NGINX_PORT)) + "}\n")
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


def await_true(question: Callable[[], bool], seconds: float,
               what: str) -> None:
    end = time.monotonic() + seconds
    while not question():
        if time.monotonic() > end:
            raise BenchError(f"waited {seconds:g} s for {what}")
        time.sleep(0.05)


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
        print("  ".join(text.rjust(w) for text, w in zip(line, widths)))
