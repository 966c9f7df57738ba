"""Load tests with targets, sent by Locust: `locust -f loadtest/locustfile.py`, with `python -m loadtest run` in front.

What comes when, from the command line to the report:

    options         what is asked for, beside Locust's own options: a wrong one is told before Locust is loaded
    __main__        the front: starts the service, obtains consent, runs Locust's own main()
    locustfile      what Locust loads: the users, the shape, and
    hooks           what hangs on Locust's events: alone, as a master, as a worker
    rig             what stands ready for a test, and what a run ends with; rate makes many runs of it
    plan/           what is sent and when: scenarios -> schedule, mix -> pictures -> bodies
    measure/        sends it: session -> users -> answers -> records
    judge/          records -> metrics -> verdicts on targets -> results, and the files of a run (saved)
    show/           what people look at: summary, report, comparison, the rated rate

measure/ imports plan/, judge/ both, show/ all three; the contracts in pyproject.toml say so. bench/ is `make bench`: it
shares measure/ with the load test, and has clients of its own there, which cost less than Locust.
"""
