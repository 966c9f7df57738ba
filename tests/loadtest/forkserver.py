"""Runs load tests in forks of one process that has loaded what they need: Locust and Matplotlib take seconds.

Each is a process of its own from `main()` to its exit, in a session of its own, with its arguments, environment, folder
and files. The tests' side is in runs.py. Orders come as lines of JSON on file descriptor `sys.argv[1]`, answers go to
`sys.argv[2]`.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import locust.main  # first: it replaces the standard library's sockets
from gevent.monkey import get_original
from gevent.os import fork  # without watching the child

import loadtest.__main__
import loadtest.hooks
import loadtest.show.comparison
import loadtest.show.rated
import loadtest.show.report

waitpid = get_original("os", "waitpid")


def serve(orders: int, answers: int) -> Any:
    """Carry out orders; in a fork, return the one that it is there for."""
    with os.fdopen(orders) as lines, os.fdopen(answers, "w") as replies:
        for line in lines:
            order = json.loads(line)
            if "poll" in order:
                pid, status = waitpid(order["poll"], os.WNOHANG)
                reply = os.waitstatus_to_exitcode(status) if pid else None
            else:
                reply = fork()
                if not reply:
                    return order
            replies.write(json.dumps(reply) + "\n")
            replies.flush()
    return None


def become(order: Any) -> None:
    """Turn this fork into the process that was ordered."""
    os.setsid()
    for number, (file, mode) in enumerate(zip(order["files"], "rww", strict=True)):
        with open(file, mode) as opened:  # noqa: PTH123
            os.dup2(opened.fileno(), number)
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    program, *sys.argv = order["command"]
    if program == "locust":
        sys.argv.insert(0, "locust")
        locust.main.main()
    else:
        sys.argv.insert(0, "loadtest")
        loadtest.__main__.main()


if order := serve(int(sys.argv[1]), int(sys.argv[2])):
    become(order)
