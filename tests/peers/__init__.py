"""Programs of the original PARCS, version 1, written from the description of its wire, without aioparcs."""
