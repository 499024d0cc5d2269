"""What the parts of a stack share: its directory, its ports, its processes.

Runs in dev/stack's only thread. Touches nothing outside .run/NAME/ but for
`place`, which says where it goes instead. A process belongs to the stack when
pid and start time are those recorded, or when it is what a dead leader of ours
left in its session: a stale record never ends a stranger.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import types
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence

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


def write_atomically(path: pathlib.Path, text: str) -> None:
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.replace(path)


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
    done = subprocess.run(list(command), cwd=cwd, text=True,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, check=False,
                          **as_user(user))
    if done.returncode != 0:
        raise StackError(f"{what} failed:\n{done.stdout.rstrip()}")
    return done.stdout


def as_user(user: str | None) -> dict[str, object]:
    """Arguments of subprocess for running as `user` (None: as we are)."""
    if user is None:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def unprivileged(user: str) -> str | None:
    """The user to drop to: `user` when we are root, else nobody."""
    return user if os.geteuid() == 0 else None


def reaches(user: str | None, path: pathlib.Path) -> bool:
    """May `user` pass through to `path`? (A clone may lie below a 0700.)"""
    if user is None:
        return True
    return subprocess.run(["test", "-x", str(path)], check=False,
                          cwd="/", **as_user(user)).returncode == 0


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


# --- processes ---------------------------------------------------------------


def start_time(pid: int) -> str | None:
    """When `pid` started, in the kernel's ticks; None if it is not running."""
    fields = stat_fields(pid)
    if fields is None or fields[0] == "Z":
        return None
    return fields[19]


def stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the state on: the name before it may
    hold spaces and parentheses."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return text.rpartition(")")[2].split()


class Process:
    """A part's process, known by .run/NAME/PART/pid ("PID START-TIME")."""

    def __init__(self, directory: pathlib.Path) -> None:
        self.dir = directory
        self.record = directory / "pid"
        self.log = directory / "log"

    def pid(self) -> int | None:
        """The pid, if what was recorded still runs."""
        pid, started = self._recorded()
        return pid if pid and start_time(pid) == started else None

    def await_reaped(self) -> None:
        """Waits until a dead process has left the process table, too, which is
        up to who adopted it. (PostgreSQL takes a zombie for a running server.)
        """
        pid, _ = self._recorded()
        wait_until(lambda: not pid or (stat_fields(pid) or "?")[0] != "Z", 10)

    def _recorded(self) -> tuple[int, str]:
        try:
            pid, started = self.record.read_text().split()
        except (FileNotFoundError, ValueError):
            return 0, ""
        return int(pid), started

    def spawn(self, command: Sequence[str | os.PathLike[str]],
              user: str | None = None,
              env: dict[str, str] | None = None) -> None:
        """Starts `command` in a session of its own and records it."""
        self.end_orphans()
        with deferred_interrupt(), open(self.log, "ab") as log:
            log.write(f"--- started {time.strftime('%F %T')}\n".encode())
            log.flush()
            child = subprocess.Popen(
                list(command), cwd=self.dir if user is None else "/",
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, env={**os.environ, **(env or {})},
                **as_user(user))
            started = start_time(child.pid) or "gone"
            write_atomically(self.record, f"{child.pid} {started}\n")
        # It outlives us; without this Python would warn of it.
        child.returncode = 0

    def stop(self, signo: int, patience: float) -> bool:
        """Ends it: `signo`, then after `patience` seconds SIGKILL. False if
        there was nothing to end."""
        pid = self.pid()
        if pid is not None:
            send(pid, signo)
            if not wait_until(lambda: self.pid() is None, patience):
                send(pid, signal.SIGKILL)
                wait_until(lambda: self.pid() is None, 5)
        orphans = self.end_orphans()
        self.record.unlink(missing_ok=True)
        return pid is not None or orphans

    def end_orphans(self) -> bool:
        """Ends what a dead leader of ours left in its session and in its
        directory, such as the workers of a killed nginx. (The kernel gives no
        new process a pid that still names a session.)"""
        leader, _ = self._recorded()
        if not leader or start_time(leader) is not None:
            return False
        left = session_members(leader, self.dir)
        for pid in left:
            send(pid, signal.SIGKILL)
        wait_until(lambda: not session_members(leader, self.dir), 5)
        return bool(left)

    def tail(self, lines: int) -> str:
        """The log's last lines."""
        try:
            with open(self.log, "rb") as log:
                log.seek(max(0, os.fstat(log.fileno()).st_size - 65536))
                text = log.read().decode(errors="replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])


def session_members(session: int, cwd: pathlib.Path) -> list[int]:
    """The processes of a session that work in `cwd`."""
    members = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            fields = stat_fields(int(entry.name))
            if fields and fields[0] != "Z" and int(fields[3]) == session:
                with contextlib.suppress(OSError):
                    if os.readlink(entry.path + "/cwd") == str(cwd):
                        members.append(int(entry.name))
    return members


def send(pid: int, signo: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signo)


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[None]:
    """Holds Ctrl-C and SIGTERM back, so that a process that was started is also
    recorded; then they take effect."""
    seen: list[int] = []

    def note(signo: int, _frame: types.FrameType | None) -> None:
        seen.append(signo)

    old = {signo: signal.signal(signo, note)
           for signo in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signo, handler in old.items():
            signal.signal(signo, handler)
    if seen:
        raise KeyboardInterrupt


def wait_until(true: Callable[[], bool], seconds: float) -> bool:
    """Asks every 50 ms; False when `seconds` went by."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


# --- ports -------------------------------------------------------------------


def demand_free_port(port: int, part: str) -> None:
    """Raises if someone listens on `port`, with who it is."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as e:
            if e.errno != errno.EADDRINUSE:
                raise
            raise StackError(
                f"{part} cannot start: port {port} is in use{listener(port)}; "
                "end that, or choose other ports with --port-base") from None


def listener(port: int) -> str:
    """" by NAME (pid N)" for who listens on `port`, "" if not to be seen."""
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError):
            for line in pathlib.Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1][-4:], 16) == port:
                    inodes.add(f"socket:[{fields[9]}]")
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                for fd in os.scandir(f"/proc/{entry.name}/fd"):
                    if os.readlink(fd.path) in inodes:
                        name = pathlib.Path(f"/proc/{entry.name}/comm")
                        return f" by {name.read_text().strip()} " \
                               f"(pid {entry.name})"
    return ""


def http_answers(url: str) -> bool:
    """Does an HTTP server answer at `url` with 200?"""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


# --- parts -------------------------------------------------------------------


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
            demand_free_port(self.stack.port(port), self.name)
        self.prepare()
        self.spawn()
        return True

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
