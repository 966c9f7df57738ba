"""The scenarios: their phases at rates or with clients, and what the command line changes about them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

from loadtest.errors import LoadTestError
from loadtest.plan.schedule import Phase, Scenario, Spacing

WARM_UP = "warm-up"
_WARM_UP_SEC = 5.0
SMOKE = "smoke"

# What the project's targets were written for.
STEADY_PER_SEC = 5.0
# At 5 a second, 306 of these are small JPEGs (mix.py), and a 99th percentile needs 299 (percentiles.py).
STEADY_SEC = 90.0
SMOKE_SEC = 10.0
STEP_SEC = 10.0
STEPS_FROM_PER_SEC, STEPS_TO_PER_SEC = 10.0, 160.0
SPIKE_FACTOR = 20.0
SPIKE_SEC = 15.0
SPIKE_BEFORE_SEC, SPIKE_RECOVERY_SEC = 20.0, 30.0
SOAK_SEC = 1800.0
# Six times what two virtual CPUs are rated at (docs/loadtest.md): most must be refused, and quickly.
OVERLOAD_PER_SEC = 100.0
OVERLOAD_SEC = 30.0

_MOST_PER_SEC = 10_000.0
_MOST_SEC = 7 * 24 * 3600.0


@dataclass(frozen=True)
class Overrides:
    """What the command line changes about a scenario; None keeps its default."""

    per_sec: float | None = None
    seconds: float | None = None
    to_per_sec: float | None = None
    clients: int | None = None
    spacing: Spacing | None = None
    retries: bool | None = None
    warm_up_sec: float = _WARM_UP_SEC

    def check(self) -> None:
        """Raise LoadTestError for numbers that no test can be made of."""
        for name, value, most in (
            ("--rate", self.per_sec, _MOST_PER_SEC),
            ("--to", self.to_per_sec, _MOST_PER_SEC),
            ("--seconds", self.seconds, _MOST_SEC),
        ):
            if value is not None and not 0 < value <= most:
                raise LoadTestError(f"{name} {value:g}: expected a number above 0 and up to {most:,.0f}.")
        if self.clients is not None and self.to_per_sec is not None:
            raise LoadTestError("--to is a rate and --closed has none: give one of them.")


def _one(name: str, overrides: Overrides, seconds: float) -> Phase:
    """Return a phase at the everyday rate, or with the clients that --closed asks for."""
    if overrides.clients is not None:
        return Phase(name, seconds, clients=overrides.clients)
    return Phase(name, seconds, per_sec=overrides.per_sec or STEADY_PER_SEC)


def _smoke(overrides: Overrides) -> list[Phase]:
    return [_one(SMOKE, overrides, overrides.seconds or SMOKE_SEC)]


def _steady(overrides: Overrides) -> list[Phase]:
    return [_one("steady", overrides, overrides.seconds or STEADY_SEC)]


def _steps(overrides: Overrides) -> list[Phase]:
    """Return even distances on a logarithmic axis: factors of the square root of two, of two for clients."""
    seconds = overrides.seconds or STEP_SEC
    if overrides.clients is not None:
        counts = [2**power for power in range(overrides.clients.bit_length())]
        if counts[-1] < overrides.clients:
            counts.append(overrides.clients)
        return [Phase(f"{count} client{'s' if count > 1 else ''}", seconds, clients=count) for count in counts]
    first = overrides.per_sec or STEPS_FROM_PER_SEC
    last = overrides.to_per_sec or max(STEPS_TO_PER_SEC, 2 * first)
    if last <= first:
        raise LoadTestError(f"--to {last:g} is not above --rate {first:g}: steps go up.")
    rates, rate = [], first
    while rate < last * 0.99:
        rates.append(rate)
        rate *= 2**0.5
    return [Phase(f"{rate:.3g}/s", seconds, per_sec=float(f"{rate:.3g}")) for rate in [*rates, last]]


def _spike(overrides: Overrides) -> list[Phase]:
    times = zip(_SPIKE, (SPIKE_BEFORE_SEC, overrides.seconds or SPIKE_SEC, SPIKE_RECOVERY_SEC), strict=True)
    if overrides.clients is not None:
        return [Phase(name, sec, clients=overrides.clients if name == "spike" else 1) for name, sec in times]
    base = overrides.per_sec or STEADY_PER_SEC
    peak = overrides.to_per_sec or SPIKE_FACTOR * base
    return [Phase(name, sec, per_sec=peak if name == "spike" else base) for name, sec in times]


def _soak(overrides: Overrides) -> list[Phase]:
    """Return quarters, so that the last can be held against the target that the first had to meet."""
    seconds = overrides.seconds or SOAK_SEC
    return [_one(name, overrides, part * seconds) for name, part in zip(_SOAK, (0.25, 0.5, 0.25), strict=True)]


def _overload(overrides: Overrides) -> list[Phase]:
    rate = dataclasses.replace(overrides, per_sec=overrides.per_sec or OVERLOAD_PER_SEC)
    return [_one("overload", rate, overrides.seconds or OVERLOAD_SEC)]


_SPIKE = ("before", "spike", "recovery")
_SOAK = ("start", "middle", "end")
_PhasesOf = Callable[[Overrides], list[Phase]]
_SCENARIOS: dict[str, tuple[str, _PhasesOf, bool]] = {
    SMOKE: ("a few seconds: does everything answer as it should?", _smoke, True),
    "steady": ("the everyday load that the targets were written for", _steady, True),
    "steps": ("ever higher rates, to the knee of the curve and beyond", _steps, False),
    "spike": ("a sudden crowd: who is refused, and how soon is it over?", _spike, True),
    "soak": ("the everyday load for long: does anything creep?", _soak, True),
    "overload": ("far more than the machine can do: is what it can do still done?", _overload, False),
}
NAMES = tuple(_SCENARIOS)
# A target may name one of these phases (targets.py).
PHASE_NAMES = {"spike": _SPIKE, "soak": _SOAK}


def make(name: str, overrides: Overrides) -> Scenario:
    """Return the scenario `name` (one of `NAMES`), with a warm-up that is not measured in front.

    Raises:
        LoadTestError: the overrides contradict one another, or the scenario would send nothing.
    """
    overrides.check()
    purpose, phases, retries = _SCENARIOS[name]
    measured = phases(overrides)
    first = measured[0]
    warm_up = dataclasses.replace(first, name=WARM_UP, seconds=overrides.warm_up_sec, measured=False)
    scenario = Scenario(
        name,
        purpose,
        (warm_up, *measured) if name != SMOKE and overrides.warm_up_sec else tuple(measured),
        overrides.spacing or "constant",
        retries if overrides.retries is None else overrides.retries,
    )
    silent = [phase for phase in measured if not phase.clients and not phase.arrivals]
    if silent:
        raise LoadTestError(
            f"{silent[0].per_sec:g} a second for {silent[0].seconds:g} s makes no request: raise --rate or --seconds."
        )
    return scenario
