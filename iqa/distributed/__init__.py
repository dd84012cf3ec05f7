"""Several processes that do one work together, started by torchrun or by `--processes`.

All run the same program. What costs, a backbone's look at pictures, is divided among them; everything after it is
computed by each from what all of them saw, so that nothing depends on their number; the first alone writes.
"""
