"""
Deterministic simulation: a runner, its launchers and its workers in one process, on a virtual clock.

The code of runner, pools, channels, handshakes, launchers' agents and workers' functions is the real one. Replaced are
the event loop and its clock (`loop`), sockets (`network`), processes (`processes`, `fork_server`, `threads`) and the
engine (`engine`). A history is a program (`program`) with faults (`faults`), both made by a seed; `checker` reads what
has happened. See docs/reliability.md.
"""
