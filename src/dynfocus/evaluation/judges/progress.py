"""How a run of judge calls goes on: done, failed, rate, cost, time left."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dynfocus.evaluation.judges.server import Tally

log = logging.getLogger(__name__)

EVERY = 10.0
"""Seconds between two lines."""


class Progress:
    """Lines about a run of `total` calls, from its tally."""

    def __init__(self, total: int, tally: Tally):
        self.total = total
        self._tally = tally
        self._started = time.monotonic()

    def probed(self, form: str) -> None:
        """What the first call told: how requests are worded, and what all of them will cost."""
        paid = self._tally.cost
        price = f"{paid:.5f} $ so far, about {paid * self.total:.2f} $ for all" if paid else "no prices are set"
        log.info("judge server: it answers (%s); %d calls to make, %s", form, self.total, price)

    async def report(self) -> None:
        """A line every few seconds, until cancelled."""
        while True:
            await asyncio.sleep(EVERY)
            log.info("judge server: %s", self.line())

    def line(self) -> str:
        """`120 of 500 replies, 2 failed, 3 unreadable, 8.1 per second, 0.0042 $, 0:00:47 left`."""
        tally = self._tally
        passed = time.monotonic() - self._started
        ended = tally.done + tally.failed
        rate = ended / passed if passed else 0.0
        left = str(timedelta(seconds=round((self.total - ended) / rate))) if rate else "unknown time"
        return (
            f"{tally.done} of {self.total} replies, {tally.failed} failed, {tally.unreadable} unreadable, "
            f"{rate:.1f} per second, {tally.cost:.4f} $, {left} left"
        )
