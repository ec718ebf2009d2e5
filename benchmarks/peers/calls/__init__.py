"""
Pools of workers that answer calls: ours and what else there is, a program each, started as ``MODULE WORKERS``.

Each brings its workers up, sees that they are as many processes, and prints ``ready``. Then each line ``MODE COUNT``
on its input is one round, answered by the seconds that it took, the CPU time, user and system, that this program and
all below it spent meanwhile, and what else a mode measures. The end of its input ends it, and all that it started. The
modes:

    noop     COUNT calls of a function that gives the next number, each sent by itself
    chunks   the same in the chunks that the pool makes by default (multiprocessing only)
    pause    COUNT calls that wait for 10 ms
    items    as noop, for millions: the answers are only added up, and time and memory are noted (aioparcs only)
    journal  the same with a journal

Every answer of every round is compared, after the clock has stopped; of the last two their sum.
"""
