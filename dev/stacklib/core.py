"""What the parts of a stack share: its directory, its settings, what a part is.

Runs in dev/stack's only thread. Touches nothing outside .run/NAME/ but for
`place`, which says where it goes instead.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence

from . import ports
from .process import Process, as_user, run_to_end, write_atomically

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / "build"
TEMPLATES = ROOT / "dev" / "stack.d"

# Offsets from the port base: every tool and test counts on them.
PORTS = {"nginx": 0, "postgres": 1, "kafka": 2, "kafka_controller": 3,
         "clickhouse": 4, "clickhouse_tcp": 5, "loader": 6}


class StackError(Exception):
    """One sentence for the user: what happened, and what to do."""


class Stack:
    """One named stack: its directory under .run/ and its settings."""

    def __init__(self, name: str, base: int, clickhouse_url: str | None) -> None:
        self.name = name
        self.base = base
        self.clickhouse_url = clickhouse_url
        self.dir = ROOT / ".run" / name

    def port(self, what: str) -> int:
        return self.base + PORTS[what]

    def save(self) -> None:
        self.dir.mkdir(parents=True, exist_ok=True)
        write_atomically(self.dir / "stack.json", json.dumps(
            {"port_base": self.base, "clickhouse_url": self.clickhouse_url}))


def load_settings(name: str) -> dict[str, object]:
    """What an earlier `start` saved for the stack, or nothing."""
    try:
        text = (ROOT / ".run" / name / "stack.json").read_text()
    except FileNotFoundError:
        return {}
    return dict(json.loads(text))


def render(template: pathlib.Path, target: pathlib.Path,
           values: dict[str, object]) -> None:
    """Copies `template` to `target`, with @KEY@ replaced by values['KEY']."""
    text = template.read_text()
    for key, value in values.items():
        text = text.replace(f"@{key}@", str(value))
    left = re.search("@[A-Z_]+@", text)
    if left:
        raise StackError(f"{template} uses {left[0]}, which nothing fills in")
    write_atomically(target, text)


def run(command: Sequence[str | os.PathLike[str]], what: str,
        user: str | None = None, cwd: pathlib.Path | None = None) -> str:
    """Runs a command to its end and returns its output, or raises."""
    status, said = run_to_end(command, cwd=cwd, **as_user(user))
    if status != 0:
        raise StackError(f"{what} failed:\n{said.rstrip()}")
    return said


def unprivileged(user: str) -> str | None:
    """The user to drop to: `user` when we are root, else nobody."""
    return user if os.geteuid() == 0 else None


def reaches(user: str | None, path: pathlib.Path) -> bool:
    """May `user` pass through to `path`? (A clone may lie below a 0700.)"""
    if user is None:
        return True
    done = subprocess.run(["test", "-x", str(path)], check=False, cwd="/",
                          **as_user(user))
    return bool(done.returncode == 0)


def place(directory: pathlib.Path, user: str | None) -> pathlib.Path:
    """Makes `directory` and gives it to `user`; returns where it really is.

    Where `user` cannot reach it, `directory` becomes a link to a folder under
    /var/tmp, one for each place of a stack. What lies there without the link
    is of a stack whose .run/ was removed, and goes, too.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    real = directory
    if not reaches(user, directory.parent):
        mark = hashlib.sha256(str(directory).encode()).hexdigest()[:16]
        real = pathlib.Path("/var/tmp") / f"nginx-track-{mark}"
        if not directory.is_symlink():
            if real.exists():
                shutil.rmtree(real)
            real.mkdir(mode=0o700)
            directory.symlink_to(real)
    real.mkdir(mode=0o700, exist_ok=True)
    if user is not None:
        entry = pwd.getpwnam(user)
        os.chown(real, entry.pw_uid, entry.pw_gid, follow_symlinks=False)
    return real


def http_answers(url: str) -> bool:
    """Does an HTTP server answer at `url` with 200?"""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


class Part:
    """One service. Subclasses fill in what is particular to it."""

    name = ""
    ports: tuple[str, ...] = ()
    patience = 30.0          # seconds to answer after the start
    stop_signal: int = signal.SIGTERM

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.dir = stack.dir / self.name
        self.process = Process(self.dir)

    def prepare(self) -> None:
        """Checks what is needed, makes data and configuration."""

    def spawn(self) -> None:
        """Starts the process."""
        raise NotImplementedError

    def answers(self) -> bool:
        """Does the service do its work now?"""
        raise NotImplementedError

    def settle(self) -> None:
        """What is to be done once it answers."""

    def env(self) -> dict[str, str]:
        """The shell assignments that it adds to `dev/stack env`."""
        return {}

    def runs(self) -> bool:
        """Is it there, whether or not it answers?"""
        return self.process.pid() is not None

    def where(self) -> str:
        ports = " ".join(str(self.stack.port(port)) for port in self.ports)
        return f"pid {self.process.pid()}, port {ports}"

    def begin(self) -> bool:
        """Starts it unless it runs; does not wait. False if it ran already."""
        if self.process.pid() is not None:
            return False
        self.dir.mkdir(parents=True, exist_ok=True)
        self.process.end_orphans()
        for port in self.ports:
            self.demand_free(self.stack.port(port))
        self.prepare()
        self.spawn()
        return True

    def demand_free(self, port: int) -> None:
        """Raises if someone listens on `port`, with who it is."""
        if not ports.is_free(port):
            raise StackError(
                f"{self.name} cannot start: port {port} is in use"
                f"{ports.holder(port)}; end that, or choose other ports with "
                "--port-base")

    def ready(self, since: float) -> bool:
        """Does it answer, started at `since`? Raises when it died or is late."""
        alive = self.process.pid() is not None
        if alive and self.answers():
            self.settle()
            return True
        if alive and time.monotonic() - since < self.patience:
            return False
        how = "ended" if not alive else \
              f"does not answer after {self.patience:.0f} s"
        raise StackError(f"{self.name} {how}; its log {self.process.log} "
                         f"ends with:\n{self.process.tail(12)}")

    def stop(self) -> bool:
        return self.process.stop(self.stop_signal, self.patience)


def need_file(path: pathlib.Path) -> pathlib.Path:
    if not path.exists():
        raise StackError(f"{path.relative_to(ROOT)} is missing: run dev/setup")
    return path


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
