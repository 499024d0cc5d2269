"""Ports: whether one is free, and who has it."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import socket


def is_free(port: int) -> bool:
    """Could a server listen on 127.0.0.1:`port` now?"""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as e:
            if e.errno != errno.EADDRINUSE:
                raise
            return False
    return True


def holder(port: int) -> str:
    """" by NAME (pid N)" for who listens on `port`, "" if not to be seen."""
    inodes = listening(port)
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and inodes & sockets(entry.path):
            with contextlib.suppress(OSError):
                name = pathlib.Path(entry.path, "comm").read_text().strip()
                return f" by {name} (pid {entry.name})"
    return ""


def listening(port: int) -> set[str]:
    """The kernel's names of the sockets that listen on `port`."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with contextlib.suppress(FileNotFoundError):
            for line in pathlib.Path(table).read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and int(fields[1][-4:], 16) == port:
                    found.add(f"socket:[{fields[9]}]")
    return found


def sockets(process: str) -> set[str]:
    """What the descriptors of a process (its /proc folder) stand for."""
    found = set()
    with contextlib.suppress(OSError):
        for fd in os.scandir(f"{process}/fd"):
            with contextlib.suppress(OSError):
                found.add(os.readlink(fd.path))
    return found
