"""`python -m loadtest.bench`: what the service costs, side by side with what people run instead, in one run.

Machines are noisy and shared, so everything that is compared alternates, round by round, and medians of per-round
ratios are reported. Servers are real ones in processes of their own; clients are the measuring core's.

    contenders  who is started, a row each: ours, plain (plain.py), peers/        in_process  ceilings without HTTP
    run         starts everyone, measures in turn: overload, memory -> result     goals       what the project wants
    report      table, picture, page; the documents' copy                         image_sizes `make image-compare`
"""
