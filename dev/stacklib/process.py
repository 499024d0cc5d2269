"""Processes that outlive the program that started them, and who they are.

A process is ours when pid and start time are those recorded, or when it is what
a dead leader of ours left in its session: a stale record never ends a stranger.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import pwd
import signal
import subprocess
import time
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any


def as_user(user: str | None) -> dict[str, Any]:
    """Arguments of subprocess for running as `user` (None: as we are)."""
    if user is None:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def write_atomically(path: pathlib.Path, text: str) -> None:
    new = path.with_name(path.name + ".new")
    new.write_text(text)
    new.replace(path)


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
            send(pid, signal.SIGCONT)       # a stopped one would not hear it
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


def session_members(session: int, cwd: pathlib.Path | None = None) -> list[int]:
    """The processes of a session, or those of them that work in `cwd`."""
    members = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            fields = stat_fields(int(entry.name))
            if fields and fields[0] != "Z" and int(fields[3]) == session:
                with contextlib.suppress(OSError):
                    if cwd in (None, pathlib.Path(
                            os.readlink(entry.path + "/cwd"))):
                        members.append(int(entry.name))
    return members


def run_to_end(command: Sequence[str | os.PathLike[str]],
               **options: Any) -> tuple[int, str]:
    """Runs a command in a session of its own; its exit status and what it said.
    Interrupted, it is ended with all that it has started: initdb runs servers,
    which would go on for a while without it."""
    child = subprocess.Popen(list(command), text=True, start_new_session=True,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, **options)
    try:
        said, _ = child.communicate()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        wait_until(lambda: not session_members(child.pid), 5)
        raise
    return child.returncode, str(said)


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
