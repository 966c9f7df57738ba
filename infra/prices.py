"""Google's list prices in US dollars, region us-central1, read on the date below; other regions differ by up to 60 %."""

from __future__ import annotations

DATE = "2026-11-24"
HOURS_PER_MONTH = 730

# Per hour: one CPU, one GB of memory; the same as Spot.
CPU_HOUR = {"e2": 0.02181159}
GB_HOUR = {"e2": 0.00292353}
