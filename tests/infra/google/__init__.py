"""A model of what a change of the stack does at Google: the provider, the API, Pulumi's engine, and who is served.

Rules are data, each with the source that says so; the interpreters beside them are small.

    provider_kinds.py, provider_rules.py    pulumi-gcp / google-beta, as data: paths, calls, replacements, zeros, waits
    provider_values.py, provider.py         what of a program's inputs arrives and differs; which calls that takes
    calls.py, api_rules.py, api.py          Google's API: a call, what is refused in which state, what there is
    references.py, engine_plan.py           Pulumi's engine: outputs in inputs, the state, the plan
    engine_update.py, state.py              an update in an order that dependencies allow; refresh, import
    traffic.py, moves.py                    who is served; a change in every order that matters
    recordings.py, registrations.py         what the real engine and provider did, with which registrations
    replay.py                               the same through the model
"""
