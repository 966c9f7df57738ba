from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import pytest

from service.errors import DeadlineExceeded, OutOfTime, Overloaded
from service.serve.admission import Admission, Deadline


class FakeClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def in_thread(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def until(condition: Callable[[], bool]) -> None:
    """Wait for another thread; fails rather than hangs."""
    for _ in range(2000):
        if condition():
            return
        threading.Event().wait(0.005)
    raise AssertionError("the condition never became true")


def test_a_deadline_runs_out_on_its_clock() -> None:
    clock = FakeClock()
    admission, deadline = Admission(slots=1, queue_size=0, max_bytes=100_000_000, clock=clock), Deadline(2, clock)
    clock.now += 1.5
    assert deadline.remaining_sec() == pytest.approx(0.5)
    admission.check(deadline, "decoding")
    clock.now += 1
    assert deadline.remaining_sec() == 0
    with pytest.raises(OutOfTime, match="The 2 s that a request may take were over before decoding"):
        admission.check(deadline, "decoding")


def test_whose_limit_it_was_is_told() -> None:
    """The client's own is no refusal: to come back later would not help, to allow more would."""
    clock = FakeClock()
    admission, deadline = (
        Admission(slots=1, queue_size=0, max_bytes=100_000_000, clock=clock),
        Deadline(0.25, clock, header="X-Time"),
    )
    clock.now += 1
    with pytest.raises(
        DeadlineExceeded, match=r"The 250 ms of the request's own X-Time were over before decoding\. Allow more"
    ) as own:
        admission.check(deadline, "decoding")
    assert own.value.headers == {}


def test_as_many_enter_as_there_are_slots_and_places_in_the_queue() -> None:
    admission = Admission(slots=1, queue_size=1, max_bytes=100_000_000)
    with admission.enter(), admission.enter():
        assert admission.in_flight == 2
        with pytest.raises(Overloaded), admission.enter():
            pass
        assert admission.in_flight == 2
    assert admission.in_flight == 0
    with admission.enter():
        assert admission.in_flight == 1


def test_large_bodies_fill_the_house_before_the_places_are_taken() -> None:
    """Memory is bounded by the bytes inside; but a single request is never too large for an empty house."""
    admission = Admission(slots=1, queue_size=9, max_bytes=100)
    with admission.enter(500), pytest.raises(Overloaded, match="1 requests with 500 bytes"), admission.enter(1):
        pass
    with admission.enter(60), admission.enter(40), pytest.raises(Overloaded), admission.enter(1):
        pass
    with admission.enter(60):
        pass


def test_a_place_is_given_back_when_the_request_fails() -> None:
    admission = Admission(slots=1, queue_size=0, max_bytes=100_000_000)
    with pytest.raises(ZeroDivisionError), admission.enter(), admission.slot(Deadline(1)):
        raise ZeroDivisionError
    with admission.enter(), admission.slot(Deadline(1)):
        pass


def test_retry_after_follows_the_present_service_time() -> None:
    """Ten requests of 2 s on one slot: who is refused at the door or out of time is told 20 s, in whole seconds."""
    clock = FakeClock()
    admission = Admission(slots=1, queue_size=9, max_bytes=100_000_000, clock=clock)
    for _ in range(200):
        with admission.slot(Deadline(10, clock)):
            clock.now += 2
    places = [admission.enter() for _ in range(10)]
    for place in places:
        place.__enter__()
    with pytest.raises(Overloaded, match="Try again in 20 s") as refused, admission.enter():
        pass
    with pytest.raises(OutOfTime, match="Try again in 20 s") as late:
        admission.check(Deadline(0, clock), "decoding")
    assert refused.value.headers == late.value.headers == {"Retry-After": "20"}


def test_retry_after_is_never_below_a_second() -> None:
    assert Admission(slots=8, queue_size=0, max_bytes=100_000_000).retry_after_sec() == 1


def test_slots_are_handed_on_in_the_order_of_arrival() -> None:
    admission = Admission(slots=1, queue_size=5, max_bytes=100_000_000)
    order: list[int] = []

    def work(number: int) -> None:
        with admission.slot(Deadline(10)):
            order.append(number)

    with admission.slot(Deadline(10)):
        threads = []
        for number in range(4):
            threads.append(in_thread(lambda number=number: work(number)))  # type: ignore[misc]
            until(lambda number=number: admission.queued == number + 1)  # type: ignore[misc]
    for thread in threads:
        thread.join(5)
    assert order == [0, 1, 2, 3]


def test_never_more_at_work_than_slots() -> None:
    admission = Admission(slots=2, queue_size=50, max_bytes=100_000_000)
    lock, now, most = threading.Lock(), 0, 0

    def work() -> None:
        nonlocal now, most
        for _ in range(50):
            with admission.slot(Deadline(10)):
                with lock:
                    now += 1
                    most = max(most, now)
                threading.Event().wait(0.0002)
                with lock:
                    now -= 1

    threads = [in_thread(work) for _ in range(8)]
    for thread in threads:
        thread.join(20)
    assert most == 2
    assert now == 0
    assert admission.queued == 0


def test_who_waits_too_long_gives_up_without_taking_a_slot() -> None:
    admission = Admission(slots=1, queue_size=1, max_bytes=100_000_000)
    with admission.slot(Deadline(10)):
        with pytest.raises(OutOfTime, match="before its turn came"), admission.slot(Deadline(0.05)):
            pass
        assert admission.queued == 0
    with admission.slot(Deadline(0.05)):  # the slot was not lost
        pass


def keep_full(admission: Admission, clock: FakeClock, arrivals: int, entries: int, seconds: float = 5) -> None:
    """Have `arrivals` each hundredth of a second, of which `entries` are let in, one by one, through the last place."""
    with contextlib.ExitStack() as others:
        for _ in range(admission.capacity - 1):
            others.enter_context(admission.enter())
        clock.now += 10  # by now it is forgotten when these came
        for _ in range(int(100 * seconds)):
            clock.now += 0.01
            for _ in range(entries - 1):
                with admission.enter():
                    pass
            with admission.enter():
                for _ in range(arrivals - entries):
                    assert admission.refusal(1) is not None


@pytest.mark.parametrize(("arrivals", "entries", "limit"), [(10, 1, 0), (2, 1, 5), (4, 3, 15), (6, 5, 20), (1, 1, 20)])
def test_under_pressure_the_queue_is_kept_short(arrivals: int, entries: int, limit: int) -> None:
    """At ten arrivals for each entry the spare slots are queue enough; without refusals all places may be used."""
    clock = FakeClock()
    admission = Admission(slots=4, queue_size=20, max_bytes=100_000_000, spare=2, clock=clock)
    keep_full(admission, clock, arrivals, entries)
    assert admission.queue_limit == pytest.approx(limit, abs=1)


def test_pressure_is_forgotten_after_some_seconds_of_quiet() -> None:
    clock = FakeClock()
    admission = Admission(slots=4, queue_size=20, max_bytes=100_000_000, spare=2, clock=clock)
    keep_full(admission, clock, 10, 1)
    clock.now += 10
    assert admission.queue_limit == 20


def test_a_single_refusal_is_no_pressure() -> None:
    """A burst that fills the house once must find a whole queue again."""
    admission = Admission(slots=4, queue_size=20, max_bytes=100_000_000, spare=2, clock=FakeClock())
    places = [admission.enter() for _ in range(24)]
    for place in places:
        place.__enter__()
    assert admission.refusal(1) is not None
    assert admission.queue_limit == 20


def test_who_finds_the_queue_filled_up_meanwhile_is_refused_before_any_work() -> None:
    clock = FakeClock()
    admission = Admission(slots=1, queue_size=5, max_bytes=100_000_000, spare=1, clock=clock)
    keep_full(admission, clock, 1000, 1)
    with admission.slot(Deadline(10)):
        with pytest.raises(Overloaded), admission.slot(Deadline(10)):
            pass
        with pytest.raises(OutOfTime), admission.slot(Deadline(0.01), begun=True):
            pass
