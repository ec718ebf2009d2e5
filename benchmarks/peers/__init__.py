"""
The programs that are measured; each runs in a process of its own.

A channel's program is started twice, as ``MODULE serve MODE`` and as ``MODULE drive MODE PORT``; what the two say
on their pipes is in `control`. The modes:

    echo    every message goes back as it came
    rate    many small messages one way
    bytes   few messages of 64 MiB one way, as ``bytes``
    array   the same as arrays
    memory  one array of 256 MiB one way (aioparcs only)

One way means: the driver sends ``[count, check]`` and waits for an answer, then the clock runs, ``count`` messages
go one way, and the receiver's summary of them comes back, which stops the clock.
"""
