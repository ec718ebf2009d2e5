"""The aioparcs side of each benchmark."""
