"""Headstart beside what people would use instead: one run, one machine, the same images.

`make bench` runs everything; `python -m benchmarks bottleneck head` a part of it.
"""
