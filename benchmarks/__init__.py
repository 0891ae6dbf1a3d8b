"""Compares Headstart with what people would use instead: in one run, on the same images.

`make bench` runs all benchmarks; `python -m benchmarks bottleneck head` runs some of them.
"""
