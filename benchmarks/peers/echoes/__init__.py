"""
One message of bytes there and back, a program for each way, as in `benchmarks.peers`; MODE is the size in bytes.

The serving side sends back what it has received, from its own memory. The driving side compares the length and both
ends of each answer, and all of it in a round that checks.
"""
