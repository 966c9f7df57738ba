from __future__ import annotations

import pytest

from service import errors

PROBLEMS = errors.Problem.__subclasses__()


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda p: p.name)
def test_every_problem_is_in_the_tree_that_heads_the_module(problem: type[errors.Problem]) -> None:
    assert errors.__doc__ is not None
    line = next(line for line in errors.__doc__.splitlines() if f"── {problem.__name__} " in line)
    assert str(problem.status) in line


def test_names_are_unique_because_documentation_is_addressed_by_them() -> None:
    assert len({problem.name for problem in PROBLEMS}) == len(PROBLEMS)


def test_what_balancers_take_for_a_broken_machine_is_said_of_the_machine_only() -> None:
    """502, 503 and 504 are asked again elsewhere, and a few of them end a machine's traffic for a while."""
    assert [problem.name for problem in PROBLEMS if problem.status in (502, 503, 504)] == ["not-ready"]
