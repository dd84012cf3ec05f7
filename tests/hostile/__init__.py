"""Input that somebody made to do harm, or a disk to; `benchmarks/hostile.py` tries the same kinds in greater number."""
