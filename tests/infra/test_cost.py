from __future__ import annotations

import datetime as dt
import re

import pytest

from infra.cost import estimate as cost
from infra.cost import prices
from tests.conftest import REPOSITORY
from tests.infra.test_settings import DIGEST, settings, stack_config


def test_a_small_spot_fleet_adds_up_by_hand() -> None:
    """One e2-medium: half of two CPUs' time and 4 GB; 30 GB of disk; one rule; a policy with two rules; three zones."""
    found = cost.estimate(settings(image=DIGEST))
    machine = (1 * 0.01309 + 4 * 0.001754) * 730
    assert found["parts"]["machines"] == pytest.approx(machine, abs=0.01)
    assert found["parts"]["disks"] == pytest.approx(30 * 0.10)
    assert found["parts"]["balancer"] == pytest.approx(0.025 * 730)
    assert found["parts"]["armor"] == pytest.approx(5 + 2 * 1)
    assert found["total"] == pytest.approx(sum(found["parts"].values()), abs=0.01)
    assert found["totalAtLargest"] == pytest.approx(found["total"] + 2 * (machine + 3), abs=0.02)


def test_a_single_machine_pays_for_an_address_and_for_no_balancer() -> None:
    found = cost.estimate(settings(image=DIGEST, topology="single"))
    assert found["parts"].keys() == {"machines", "disks", "address", "googleApisZones", "images"}
    assert found["total"] == found["totalAtLargest"]
    assert found["per1000Requests"].keys() == {"egress", "logsBeyondTheFree", "total"}
    assert found["total"] < cost.estimate(settings(image=DIGEST))["total"] / 1.5


def test_on_demand_costs_more_than_spot() -> None:
    configured = settings(image=DIGEST)
    spot, on_demand = cost.machine_month(configured, spot=True), cost.machine_month(configured, spot=False)
    assert spot is not None
    assert on_demand is not None
    assert spot < on_demand


def test_the_foundations_cost_next_to_nothing() -> None:
    """The address is reserved before anything answers at it; all else is cents."""
    parts = cost.estimate(settings())["parts"]
    assert sum(parts.values()) - parts["addresses"] < 1
    assert parts["addresses"] < 8


def test_a_series_without_a_price_makes_no_total_up() -> None:
    found = cost.estimate(settings(image=DIGEST, machineType="c3d-standard-4"))
    assert (found["parts"]["machines"], found["total"], found["totalAtLargest"]) == (None, None, None)
    assert found["parts"]["disks"] is not None


def test_each_certificate_and_address_family_is_counted() -> None:
    """HTTPS has two rules, with IPv6 four: still the price of the first five."""
    plain = cost.estimate(settings(image=DIGEST))["parts"]
    both = cost.estimate(
        settings(image=DIGEST, https="true", domains=["a.example.com"], allowlist=["203.0.113.0/24", "2001:db8::/32"])
    )["parts"]
    assert both["balancer"] == plain["balancer"]
    many = [f"198.51.100.{n}/32" for n in range(11)]
    assert cost.estimate(settings(image=DIGEST, allowlist=many))["parts"]["armor"] == plain["armor"] + 1


def test_log_lines_that_are_not_written_cost_nothing() -> None:
    quiet = cost.estimate(settings(image=DIGEST, logLevel="warning", logSamplePercent=0))["per1000Requests"]
    assert quiet["logsBeyondTheFree"] == 0


def test_the_price_table_has_a_date() -> None:
    assert dt.date.fromisoformat(prices.DATE)
    assert prices.DATE in cost.estimate(settings())["prices"]


# How the comment at a price says where it is from.
ORIGIN = re.compile(r"https://|Cloud Billing Catalog|from the catalog|\bassumed\b")


def prices_without_origin(source: str) -> list[str]:
    """Return the names of the constants that neither their own line nor a comment above in their paragraph explains."""
    found = []
    for paragraph in source.split("\n\n"):
        said = ""
        for line in paragraph.splitlines():
            if line.startswith("#"):
                said += line
            elif (name := re.match(r"(\w+) = ", line)) and not ORIGIN.search(said + line.partition("#")[2]):
                found.append(name[1])
    return found


def test_every_price_has_its_source_or_is_marked_as_assumed() -> None:
    source = (REPOSITORY / "infra/cost/prices.py").read_text("utf-8")
    assert prices_without_origin(source) == ["DATE", "REGION", "HOURS_PER_MONTH"]
    assert prices_without_origin(f"{source}\n\nNEW_HOUR = 0.02  # per hour\n")[-1] == "NEW_HOUR"


@pytest.mark.parametrize("document", ["README.md", "README.zh-CN.md", "docs/operations.md", "docs/deployment.md"])
def test_every_monthly_figure_in_the_documentation_is_the_estimates(document: str) -> None:
    """They stand behind their configuration, `<!-- cost KEY=VALUE ... -->$12.40`; STACK names a shipped one."""
    text = (REPOSITORY / document).read_text("utf-8")
    figures = re.findall(r"<!-- cost ([^>]*?)\s-->\$([\d,.]*\d)", text)
    assert figures, f"{document} tells no cost"
    assert len(figures) == text.count("<!-- cost"), f"{document} has a figure that this test cannot read"
    for config, figure in figures:
        values = dict(word.split("=", 1) for word in config.split())
        part, stack = values.pop("PART", "total"), values.pop("STACK", "")
        shipped = stack_config(stack) | {"domains": ["classify.example.com"]} if stack else {}
        found = cost.estimate(settings(image=DIGEST, **{**shipped, **values}))
        shown = found[part] if part in found else found["parts"][part]
        assert float(figure.replace(",", "")) == pytest.approx(shown, abs=1), (document, config)
