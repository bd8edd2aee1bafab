"""Work over a few threads: kernels release the GIL, results come back in order."""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import TYPE_CHECKING, TypeVar

from fp4sim.errors import UsageError
from fp4sim.fpmode import ieee_mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

T = TypeVar("T")
R = TypeVar("R")

MOST_IN_RUN = 8


def thread_count(threads: int | None) -> int:
    """Check a thread count; None means every processor this process may use."""
    if threads is None:
        usable = getattr(os, "sched_getaffinity", None)
        return len(usable(0)) if usable else os.cpu_count() or 1
    if not isinstance(threads, int) or not 1 <= threads <= 1024:
        raise UsageError(f"{threads} threads: 1 to 1024 are possible")
    return threads


def map_ordered(function: Callable[[T], R], items: Sequence[T], threads: int) -> Iterator[R]:
    """Results of ``function`` over ``items`` in order, in IEEE float mode.

    Items are handed out in short runs, because waking a thread costs as much as a small cell; at most two runs a thread
    are in flight. An exception in one call cancels what has not started and is raised here.
    """

    def run(batch: Sequence[T]) -> list[R]:
        with ieee_mode():
            return [function(item) for item in batch]

    size = max(1, min(MOST_IN_RUN, len(items) // (4 * threads)))
    batches = [items[start : start + size] for start in range(0, len(items), size)]
    if threads == 1 or len(batches) == 1:
        for batch in batches:
            yield from run(batch)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="fp4sim")
    waiting: deque[Future[list[R]]] = deque()
    try:
        for batch in batches:
            waiting.append(pool.submit(run, batch))
            if len(waiting) >= 2 * threads:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def run_all(function: Callable[[T], R], items: Sequence[T], threads: int) -> list[R]:
    """All results of ``function`` over ``items``, in order, in IEEE float mode; the calling thread works too.

    After an exception (an interrupt of the calling thread too) nothing more is started. Items are started in order, so
    the exception of the first item that has one is always known; it is raised here.
    """
    results: dict[int, R] = {}
    failures: dict[int, BaseException] = {}
    waiting = deque(enumerate(items))  # popleft is atomic

    def work() -> None:
        index = -1
        try:
            with ieee_mode():
                while waiting and not failures:
                    try:
                        index, item = waiting.popleft()
                    except IndexError:  # another thread took the last one
                        return
                    results[index] = function(item)
        except BaseException as failure:
            failures[index] = failure

    helpers = [Thread(target=work, name=f"fp4sim-{i}", daemon=True) for i in range(min(threads, len(items)) - 1)]
    for helper in helpers:
        helper.start()
    work()
    for helper in helpers:
        helper.join()
    if failures:
        raise failures[min(failures)]
    return [results[index] for index in range(len(items))]
