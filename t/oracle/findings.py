"""What a check finds wrong, by kind."""

from __future__ import annotations

import collections

SHOWN = 20


class Findings:
    def __init__(self) -> None:
        self.lines: dict[str, list[str]] = collections.defaultdict(list)

    def add(self, kind: str, line: str) -> None:
        self.lines[kind].append(line)

    def join(self, other: Findings) -> None:
        for kind, lines in other.lines.items():
            self.lines[kind] += lines

    def print(self) -> None:
        for kind, lines in self.lines.items():
            print(f"{kind}: {len(lines)}")
            for line in lines[:SHOWN]:
                print(f"    {line[:600]}")
