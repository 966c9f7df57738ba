"""The load test as Locust runs it: `locust -f loadtest/locustfile.py --host https://pictures.example.com`.

Everything of Locust is there: its page, --headless, --processes, --master and --worker, --csv, --html, LOCUST_*. Beside
it are --scenario, --targets, --report and what else `--help` lists (docs/loadtest.md).

For tasks of your own, subclass PictureUser in a locustfile that imports these two:

    from locust import task
    from loadtest.locustfile import PictureUser, Scenarios

    class Visitor(PictureUser):
        @task
        def look_at_the_page(self):
            self.client.get("/", name="page")
"""

from __future__ import annotations

import sys
from pathlib import Path

import locust

sys.path.append(str(Path(__file__).parents[1]))  # Locust loads a file, from any folder

from loadtest.hooks import register
from loadtest.measure.users import PictureUser, ScenarioShape

register(locust.events)


class Scenarios(ScenarioShape):
    """The load that --scenario names."""


class Everyone(PictureUser):
    """Sends what the mix says."""


__all__ = ["PictureUser", "Scenarios"]
