"""What the checks share: the tree's files, and how a finding is printed."""

from __future__ import annotations

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def files(*suffixes: str) -> list[str]:
    """The tree's own text files (tracked, or new and not ignored) that end in
    one of `suffixes`, as paths from the top."""
    listed = subprocess.run(
        ["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "-co",
         "--exclude-standard"],
        cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return sorted(name for name in set(listed.split("\0"))
                  if name.endswith(suffixes) and (ROOT / name).is_file())


def scripts(interpreter: str, *suffixes: str) -> list[str]:
    """Files with one of `suffixes` or whose first line names `interpreter`."""
    found = []
    for name in files(""):
        path = ROOT / name
        if suffixes and name.endswith(suffixes):
            found.append(name)
        elif not path.suffix or path.suffix == ".t":
            with open(path, "rb") as file:
                first = file.readline(100)
            if first.startswith(b"#!") and interpreter.encode() in first:
                found.append(name)
    return found


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


class Findings:
    """Collects findings; `finish` ends the program with 1 if there are any."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, name: str, line: int, what: str) -> None:
        print(f"{name}:{line}: {what}")
        self.count += 1

    def finish(self, looked_at: int, at_what: str) -> None:
        if self.count:
            sys.exit(f"{self.count} finding(s)")
        print(f"{looked_at} {at_what}: fine")
