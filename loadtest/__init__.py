"""Load tests with targets, sent by Locust.

What comes when, from the command line to the report:

    options, __main__   what was asked for: a wrong option is told before Locust is loaded
    rig, commands       everything that stands ready for a test; one run, the search for the rate, a worker's share
    plan/               what is sent and when: scenarios -> schedule, mix -> pictures -> bodies
    measure/            sends it: session -> users -> runner (distributed) -> answers -> records
    judge/              records -> metrics -> verdicts on targets -> results, and the files of a run (saved)
    show/               what people look at: summary, report, comparison, the rated rate

measure/ imports plan/, judge/ both, show/ all three; the contracts in pyproject.toml say so. Of
measure/, bench/ (`make bench`) uses what needs no Locust: clients, servers, percentiles, verdicts, machine.
"""
