"""
The launcher, the role of ``python main.py`` when it calls ``serve``: fork server, agent and workers.

Import from its modules: a runner needs a few small ones of them, which load nothing of a launcher's.
"""
