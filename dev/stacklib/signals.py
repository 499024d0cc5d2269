"""Ends that are not Ctrl-C but meant alike: a terminal that closes, a kill."""

from __future__ import annotations

import os
import signal
import types


def as_interrupt() -> None:
    """From now on SIGTERM and SIGHUP raise KeyboardInterrupt, as SIGINT does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(signal.SIGHUP, _hang_up)


def ignore() -> None:
    """For the clean-up that they have led to."""
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)


def _hang_up(signum: int, frame: types.FrameType | None) -> None:
    """The terminal is gone; writing to it would fail in the clean-up."""
    null = os.open(os.devnull, os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    signal.default_int_handler(signum, frame)
