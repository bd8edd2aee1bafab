"""Threads change neither order nor errors."""

from __future__ import annotations

import threading
import time

import pytest

from fp4sim.errors import UsageError
from fp4sim.parallel import map_ordered, run_all, thread_count


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 2, 7, 100])
def test_results_come_in_order(threads: int, count: int) -> None:
    items = list(range(count))
    assert run_all(lambda i: i * i, items, threads) == [i * i for i in items]
    assert list(map_ordered(lambda i: i * i, items, threads)) == [i * i for i in items]


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("run", [run_all, lambda *a: list(map_ordered(*a))], ids=["run_all", "map_ordered"])
def test_an_exception_is_raised_and_stops_what_has_not_started(run, threads: int) -> None:
    started = []

    def work(i: int) -> int:
        started.append(i)
        if i == 3:
            raise UsageError("item 3")
        return i

    with pytest.raises(UsageError, match="item 3"):
        run(work, list(range(10_000)), threads)
    assert len(started) < 9_000


@pytest.mark.parametrize("threads", [2, 4])
def test_the_first_item_s_exception_is_raised_whoever_is_faster(threads: int) -> None:
    def work(i: int) -> int:
        time.sleep(0.02 if i == 0 else 0)  # a later item fails while the first is still at work
        raise UsageError(f"item {i}")

    with pytest.raises(UsageError, match="item 0"):
        run_all(work, list(range(8)), threads)


def test_the_calling_thread_works_too() -> None:
    assert run_all(lambda _: threading.get_ident(), [0], 4) == [threading.get_ident()]


@pytest.mark.parametrize("threads", [0, -1, 1025, "2"])
def test_impossible_thread_counts_are_refused(threads: int) -> None:
    with pytest.raises(UsageError, match="1 to 1024"):
        thread_count(threads)
