"""A model of what a change of the stack does at Google: the provider, the API, Pulumi's engine, and who is served.

Rules are data, each with the source that says so; the interpreters beside them are small.

    provider_rules.py, provider.py    pulumi-gcp / google-beta: what it compares, replaces, drops, sends, waits for
    api_rules.py, api.py              Google's API: what exists, and what it refuses in which state
    engine_plan.py, engine_update.py  Pulumi's engine: the plan, and an update in an order that dependencies allow
    traffic.py                        which addresses lead to a machine that answers, and for whom
    moves.py                          a change of settings in every order that matters: refusals, outages
    recordings.py, registrations.py   what the real engine and provider did, and with which registrations
"""
