"""
The programs that hosts run, each sent over ssh as ``python3 -c``: nothing of aioparcs is installed there.

They need Python 3.7 and nothing else, so they are plainer than the rest of the package.
"""
