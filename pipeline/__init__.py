"""From a commit to a healthy fleet: the steps of cloudbuild.yaml, on Cloud Build and on a laptop (docs/pipeline.md).

A step is a file; what one leaves for the next lies in .pipeline. All read the environment (settings.py) and, but for a
check, Pulumi.STACK.yaml; STACK says which.

    step        file                 reads                                leaves
    ---------   ------------------   ----------------------------------   ----------------------------------------------
    inputs      inputs.py            ACTION, COMMIT, PROJECT, REGION      nothing: what is missing ends the build here
    tests       tests.sh             the checkout                         .venv
    build       build.sh             the checkout, layers in REGISTRY     the image, in Docker
    start       start.sh             the image                            the candidate, running; url, manifest.json,
                                                                          samples/, sbom.cdx.json
    answers     answers.py           url, manifest.json, samples/         nothing
    load        load.sh              url                                  reports/loadtest
    contents    contents.py          sbom.cdx.json, requirements/,        nothing
                                     accepted_vulnerabilities.toml
    push        push.sh              the image                            digest; the image, in REGISTRY
    rollout     rollout.py ACTION    digest or IMAGE, manifest.json,      the fleet; in the state's bucket its record
                                     samples/                             rollout/STACK/last.json

What a rollout is made of, from the bottom up:

    errors, settings, commands, checkout                what stops a step, what it is told, other programs, this commit
    bucket, lock_holder, lock, releases                 objects with generations; one rollout at a time; the last one
    engine_events, outcomes, state, history, carried,   the stack, through Pulumi
    pulumi_cli, stack
    import_ids, pending_operations                      what an interrupted update has left
    machines, previous_template                         the machines, through Google
    address, temporary_access, answers, fleet_tests     the fleet, through its balancer
    deployment, by_hand, drift                          what is done with all that
    rollout, steps                                      the command lines
"""
