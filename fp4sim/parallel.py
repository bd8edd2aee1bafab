"""Ordered work over a small thread pool: kernels release the GIL, results come back in order."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from fp4sim.errors import UsageError
from fp4sim.fpmode import ieee_mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

T = TypeVar("T")
R = TypeVar("R")


def thread_count(threads: int | None) -> int:
    """Check a thread count; None means every processor this process may use."""
    if threads is None:
        usable = getattr(os, "sched_getaffinity", None)
        return len(usable(0)) if usable else os.cpu_count() or 1
    if not 1 <= threads <= 1024:
        raise UsageError(f"{threads} threads: 1 to 1024 are possible")
    return threads


def map_ordered(function: Callable[[T], R], items: Iterable[T], threads: int) -> Iterator[R]:
    """Results of ``function`` over ``items`` in order, at most ``2 * threads`` in flight, in IEEE float mode.

    An exception in one call cancels what has not started and is raised here.
    """

    def run(item: T) -> R:
        with ieee_mode():
            return function(item)

    if threads == 1:
        yield from map(run, items)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="fp4sim")
    waiting: deque[Future[R]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(run, item))
            if len(waiting) >= 2 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
