"""Compares Headstart with what people would use instead: in one run, on the same images.

Each module here is one benchmark; `tools` has what they share, and `peers` what Headstart is
compared with. `make bench` runs all benchmarks; `python -m benchmarks bottleneck head` runs some.
"""
