"""`python -m service compare`: every network of the table on this machine, in FP32 and INT8, and which one to take."""
