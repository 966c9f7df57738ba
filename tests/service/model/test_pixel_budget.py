"""Memory for decoding is bounded, whatever the number of processors and of pictures."""

from __future__ import annotations

import random
import threading
from collections import deque

import pytest

from service.model.pixel_budget import PixelBudget

LIMIT_SEC = 10


class Holding:
    """Threads that each hold some pixels until they are told to let go."""

    def __init__(self, budget: PixelBudget) -> None:
        self._budget = budget
        self.holding: list[int] = []
        self._changed = threading.Condition()
        self._go = {number: threading.Event() for number in range(10)}
        self._threads: list[threading.Thread] = []

    def start(self, number: int, pixels: int) -> None:
        def work() -> None:
            with self._budget.hold(pixels):
                with self._changed:
                    self.holding.append(number)
                    self._changed.notify_all()
                assert self._go[number].wait(LIMIT_SEC)
                self.holding.remove(number)

        self._threads.append(threading.Thread(target=work))
        self._threads[-1].start()

    def wait_for(self, *numbers: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: sorted(self.holding) == sorted(numbers), LIMIT_SEC), self.holding

    def end(self, number: int) -> None:
        self._go[number].set()

    def join(self) -> None:
        for event in self._go.values():
            event.set()
        for thread in self._threads:
            thread.join(LIMIT_SEC)


def waiting(budget: PixelBudget, count: int) -> None:
    """Wait until so many threads wait for pixels."""
    for _ in range(1000):
        if len(budget._waiting) == count:
            return
        threading.Event().wait(0.01)
    raise AssertionError(len(budget._waiting))


def test_pixels_are_handed_out_in_the_order_of_arrival() -> None:
    """A small picture waits behind a large one that came first, and is not overtaken by it for ever."""
    budget = PixelBudget(100)
    threads = Holding(budget)
    threads.start(0, 60)
    threads.wait_for(0)
    threads.start(1, 60)
    waiting(budget, 1)
    threads.start(2, 10)
    waiting(budget, 2)
    assert threads.holding == [0]
    threads.end(0)
    threads.wait_for(1, 2)
    threads.join()


def test_whoever_is_next_and_fits_does_not_wait_for_the_one_before_to_end() -> None:
    """Though it looked before that one had its share: here those who wait are woken in the wrong order."""

    class LastFirst(threading.Condition):
        def notify_all(self) -> None:
            waiters: deque[object] = vars(self)["_waiters"]  # the standard library's own
            waiters.reverse()
            super().notify_all()

    budget = PixelBudget(100)
    budget._changed = LastFirst()
    threads = Holding(budget)
    threads.start(0, 60)
    threads.wait_for(0)
    threads.start(1, 60)
    waiting(budget, 1)
    threads.start(2, 10)
    waiting(budget, 2)
    threads.end(0)
    threads.wait_for(1, 2)
    threads.join()


def test_whoever_needs_more_than_there_is_waits_until_it_is_alone() -> None:
    budget = PixelBudget(100)
    threads = Holding(budget)
    threads.start(0, 1)
    threads.wait_for(0)
    threads.start(1, 1000)
    waiting(budget, 1)
    threads.end(0)
    threads.wait_for(1)
    threads.join()


def test_a_failure_gives_back_what_was_held() -> None:
    budget = PixelBudget(10)
    with pytest.raises(ValueError, match="damaged"), budget.hold(10):
        raise ValueError("damaged")
    with budget.hold(10):
        pass


def test_the_budget_is_never_exceeded_and_everybody_is_served() -> None:
    budget, lock = PixelBudget(100), threading.Lock()
    held = most = served = 0

    def work(seed: int) -> None:
        nonlocal held, most, served
        rng = random.Random(seed)  # noqa: S311  # no secret
        for _ in range(50):
            pixels = rng.randint(1, 100)
            with budget.hold(pixels):
                with lock:
                    held += pixels
                    most = max(most, held)
                with lock:
                    held -= pixels
                    served += 1

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert served == 16 * 50
    assert most <= 100
