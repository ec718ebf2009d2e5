"""Measure channels and the starting of workers against what one would write without aioparcs."""
