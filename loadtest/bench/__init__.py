"""`python -m loadtest.bench`: what the service costs, side by side with what people run instead, in one run.

Machines are noisy and shared, so everything that is compared alternates, round by round, and medians of per-round
ratios are reported. Servers are real ones in processes of their own; clients are bare sockets.
"""
