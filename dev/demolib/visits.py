"""Visits of the shop by real headless browsers: dev/shop/visit.mjs, one process
a visit, so that a browser that hangs or dies costs one visit."""

from __future__ import annotations

import json
import pathlib
import subprocess
import threading
from typing import Any

VISITOR = pathlib.Path(__file__).resolve().parents[1] / "shop" / "visit.mjs"

Told = dict[str, Any]       # one verdict as the visitor prints it


class VisitFailed(Exception):
    """One sentence of the visitor's."""


class Visitor:
    """Makes one visit at a time."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.child: subprocess.Popen[str] | None = None

    def visit(self, seed: int) -> list[Told]:
        """One visit; what the browser was told about each event."""
        self.child = subprocess.Popen(
            ["node", VISITOR, "--url", self.url + "/", "--seed", str(seed)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True)
        out, err = self.child.communicate()
        if self.child.returncode != 0:
            raise VisitFailed(err.strip() or
                              f"the visitor ended with {self.child.returncode}")
        return [json.loads(line) for line in out.splitlines()]

    def stop(self) -> None:
        """Ends a visit under way. SIGTERM: the visitor closes its browser."""
        if self.child is None or self.child.poll() is not None:
            return
        self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()


class Visits(threading.Thread):
    """A visit every `pause` seconds until stopped, each with its own seed."""

    def __init__(self, visitor: Visitor, pause: float) -> None:
        super().__init__(daemon=True)
        self.visitor = visitor
        self.pause = pause
        self.ending = threading.Event()
        self.made = 0
        self.failed = 0
        self.last_failure = ""

    def run(self) -> None:
        seed = 1
        while not self.ending.wait(self.pause):
            seed += 1
            try:
                self.visitor.visit(seed)
                self.made += 1
            except VisitFailed as e:
                if not self.ending.is_set():
                    self.failed += 1
                    self.last_failure = str(e)

    def stop(self) -> None:
        self.ending.set()
        self.visitor.stop()
        self.join(15)
