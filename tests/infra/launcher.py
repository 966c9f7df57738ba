"""Starts Pulumi programs as Pulumi's Python language host does; a process of its own, without the tests around it.

Loading the SDK takes a second, so this process loads it once and forks for each order. The children share nothing but
the loaded SDK: a program's own modules, its settings and its working directory live and die with its process.

An order is a line of JSON on standard input (see `Order` in engine.py); the answer is a line with the exit code.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import re
import runpy
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import pulumi
import pulumi.runtime
from pulumi.runtime.proto import source_pb2

# Modules of the provider's SDK that programs use; another one costs each run the time to load it.
PRELOADED = (
    "artifactregistry", "billing", "cloudbuild", "cloudbuildv2", "compute", "dns", "iap", "kms", "logging",
    "monitoring", "organizations", "projects", "secretmanager", "serviceaccount", "storage",
)  # fmt: skip
PROGRAM = Path(__file__).parents[2] / "infra"


def preload() -> None:
    """Load what every program loads; nothing here may start a thread, since threads do not survive a fork."""
    import pulumi_gcp

    # Modules of this package load when something in them is first looked up, if only to see that it is not there.
    for name in PRELOADED:
        hasattr(getattr(pulumi_gcp, name), "_")
    # The SDK works out the types of a class when it is first used, and keeps them: a fifth of a run's time.
    source = "".join(file.read_text("utf-8") for file in PROGRAM.glob("*.py"))
    for module, name in set(re.findall(r"\bgcp\.(\w+)\.([A-Z]\w+)", source)):
        if isinstance(known := getattr(getattr(pulumi_gcp, module, None), name, None), type):
            pulumi._types._types_from_py_properties(known)


def run(order: dict[str, Any]) -> int:
    """Run one program to its end, with exit codes of pulumi-language-python-exec; only ever in a child."""
    signal.alarm(order["timeout_sec"])
    # The SDK tells the engine of each of its own steps, which is two in three calls; programs hardly do.
    pulumi.log.debug = lambda *_, **__: None
    # Where in the program a resource is made: the real engine keeps it, nothing here looks at it, and it takes long.
    pulumi.runtime.resource._get_stack_trace = source_pb2.StackTrace
    os.environ.clear()
    os.environ.update(order["environment"])
    for descriptor, path in ((1, order["stdout"]), (2, order["stderr"])):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, descriptor)
        os.close(file)
    pulumi.runtime.set_all_config(pulumi.runtime.get_config_env(), pulumi.runtime.get_config_secret_keys_env())
    pulumi.runtime.configure(
        pulumi.runtime.Settings(
            project=order["project"],
            stack=order["stack"],
            organization="organization",
            root_directory=order["root"],
            monitor=order["address"],
            engine=order["address"],
            dry_run=order["preview"],
            parallel=16,
        )
    )
    # For `main: infra/` the host changes to that directory and runs ".", which puts "." first on the module path:
    # the project's root is not on it.
    os.chdir(order["directory"])
    sys.argv = ["."]
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    def program() -> None:
        runpy.run_path(".", run_name="__main__")

    try:
        loop.run_until_complete(pulumi.runtime.run_in_stack(program))
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        return 1
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 1
    except BaseException:
        pulumi.log.error("Program failed with an unhandled exception:\n" + traceback.format_exc())
        return 32
    finally:
        loop.close()
    return 0


def main() -> None:
    preload()
    gc.freeze()  # collecting in a child would copy the SDK's pages
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            code = 1
            try:
                code = run(json.loads(line))
            finally:
                with contextlib.suppress(Exception):
                    sys.stdout.flush()
                    sys.stderr.flush()
                # Without the parent's clean-up, and without waiting for gRPC's threads.
                os._exit(code)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
