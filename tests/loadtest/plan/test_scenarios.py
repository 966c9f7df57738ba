"""When requests are due: exact counts, one schedule whoever sends it, spacing as promised."""

from __future__ import annotations

import itertools
import statistics

import pytest

from loadtest.errors import LoadTestError
from loadtest.plan.mix import TYPICAL
from loadtest.plan.scenarios import NAMES, Overrides, make
from loadtest.plan.schedule import Phase, Plan, Scenario, Spacing, arrivals


def scenario(spacing: Spacing = "constant") -> Scenario:
    phases = (Phase("a", 2, 10), Phase("b", 4, 100), Phase("c", 1, 3))
    return Scenario("steady", "for the test", phases, spacing)


@pytest.mark.parametrize("spacing", ["constant", "poisson"])
def test_every_phase_gets_exactly_its_arrivals_in_order_and_in_time(spacing: Spacing) -> None:
    due = list(arrivals(scenario(spacing)))
    assert [item.number for item in due] == list(range(423))
    assert [item.due_sec for item in due] == sorted(item.due_sec for item in due)
    for phase, (begin, end, count) in enumerate([(0, 2, 20), (2, 6, 400), (6, 7, 3)]):
        inside = [item for item in due if item.phase == phase]
        assert len(inside) == count
        assert all(begin <= item.due_sec <= end for item in inside)


def test_constant_arrivals_are_evenly_spaced() -> None:
    due = [item.due_sec for item in arrivals(scenario()) if item.phase == 1]
    gaps = [b - a for a, b in itertools.pairwise(due)]
    assert max(gaps) == pytest.approx(min(gaps)) == pytest.approx(0.01)


def test_poisson_gaps_spread_as_much_as_their_mean() -> None:
    """The mark of the exponential distribution: standard deviation and mean are equal."""
    steady = Scenario("steady", "", (Phase("a", 1000, 20),), "poisson")
    due = [item.due_sec for item in arrivals(steady, seed=3)]
    gaps = [b - a for a, b in itertools.pairwise(due)]
    assert statistics.mean(gaps) == pytest.approx(0.05, rel=0.01)
    assert statistics.stdev(gaps) / statistics.mean(gaps) == pytest.approx(1, abs=0.03)


def test_another_seed_is_another_order_and_the_same_seed_is_not() -> None:
    one, again, other = (list(arrivals(scenario("poisson"), seed)) for seed in (1, 1, 2))
    assert one == again
    assert one != other


@pytest.mark.parametrize("spacing", ["constant", "poisson"])
def test_workers_together_send_what_one_process_would(spacing: Spacing) -> None:
    plan = Plan(scenario(spacing), TYPICAL, seed=7)
    alone = list(plan.schedule())
    shares = [list(plan.of(n, 3).schedule()) for n in range(3)]
    assert sorted(itertools.chain(*shares), key=lambda item: item[0].number) == alone
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_a_plan_survives_the_way_to_a_worker() -> None:
    plan = Plan(make("spike", Overrides()), TYPICAL, 5).of(1, 2)
    assert Plan.from_dict(plan.to_dict()) == plan


def test_what_was_over_when_someone_said_stop() -> None:
    """Phases that had not begun were never sent, and the one that was cut is as long as it was."""
    whole = scenario()
    assert [(phase.name, phase.seconds) for phase in whole.until(3.04).phases] == [("a", 2), ("b", 1.0)]
    assert whole.until(99) == whole
    assert [phase.name for phase in whole.until(0.0).phases] == ["a"]


@pytest.mark.parametrize("name", NAMES)
def test_every_scenario_can_be_made_open_and_closed(name: str) -> None:
    loop = make(name, Overrides())
    assert loop.arrivals > 0
    assert not loop.closed
    closed = make(name, Overrides(clients=4))
    assert closed.closed
    assert closed.arrivals == 0
    assert max(phase.clients for phase in closed.phases) == 4


def test_steps_go_up_to_the_last_by_even_factors() -> None:
    rates = [phase.per_sec for phase in make("steps", Overrides(per_sec=5, to_per_sec=60, warm_up_sec=0)).phases]
    assert rates == [5, 7.07, 10, 14.1, 20, 28.3, 40, 56.6, 60]


def test_only_the_warm_up_is_not_measured() -> None:
    phases = make("steady", Overrides()).phases
    assert [(phase.name, phase.measured) for phase in phases] == [("warm-up", False), ("steady", True)]
    assert all(phase.measured for phase in make("smoke", Overrides()).phases)


@pytest.mark.parametrize(
    ("name", "overrides", "part"),
    [
        ("steady", Overrides(per_sec=-1), "--rate -1: expected a number above 0"),
        ("steady", Overrides(per_sec=float("nan")), "--rate nan"),
        ("steady", Overrides(seconds=0), "--seconds 0"),
        ("steps", Overrides(per_sec=50, to_per_sec=20), "--to 20 is not above --rate 50"),
        ("steps", Overrides(clients=5, to_per_sec=20), "--closed has none"),
        ("steady", Overrides(per_sec=0.1, seconds=1), "makes no request"),
    ],
)
def test_numbers_that_make_no_test_are_named(name: str, overrides: Overrides, part: str) -> None:
    with pytest.raises(LoadTestError, match=part.replace("(", r"\(")):
        make(name, overrides)
