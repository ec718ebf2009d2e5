"""Memory that processes share: made, found behind arrays, and mapped only if it is what was meant."""

import asyncio
import gc
import mmap
import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aioparcs import shared_array
from aioparcs.shared import (
    LEAST,
    SharedMemory,
    SharedPart,
    find_shared,
    is_reachable,
    keep_spare,
    own_probe,
)
from aioparcs.shared.mapping import map_shared, read_shared
from aioparcs.shared.memory import copy_to_shared, open_memory
from aioparcs.shared.values import share_values
from tests.support.sharing import filled, memory_of

HERE = os.getpid()


def view_of(array: Any) -> memoryview:
    return memoryview(array.reshape(-1).view("u1"))


def place_of(array: Any) -> list[SharedPart]:
    found = find_shared(view_of(array))
    assert found
    memory, offset = found
    return list(memory.cut(offset, array.nbytes))


def mapped(parts: list[SharedPart]) -> Any:
    return np.frombuffer(map_shared(os.getpid(), parts), "u1")


@pytest.mark.parametrize("shape, dtype", [(LEAST, "u1"), ((512, 512), float), ((3, 1000, 1000), [("a", "<i2")])])
def test_a_shared_array_is_an_array_of_zeros(shape: Any, dtype: Any) -> None:
    array = shared_array(shape, dtype)
    assert array.dtype == np.dtype(dtype)
    assert array.tobytes() == np.zeros(shape, dtype).tobytes()
    assert array.flags.writeable
    found = find_shared(view_of(array))
    assert found
    assert found[1] == 0


@pytest.mark.parametrize("shape", [np.int64(1 << 18), [2, 1 << 20], (np.int32(70_000), np.int32(70_000))])
def test_a_shape_may_be_what_numpy_takes(shape: Any) -> None:
    array = shared_array(shape, "u1" if len(np.atleast_1d(shape)) > 1 else float)
    assert array.shape == tuple(np.atleast_1d(shape))
    assert find_shared(view_of(array))


@pytest.mark.parametrize("shape", [1 << 62, (1 << 40, 1 << 40), -5, (-1, -(1 << 21))])
def test_a_shape_that_numpy_refuses_is_refused(shape: Any) -> None:
    with pytest.raises(ValueError, match=r"too big|negative"):
        shared_array(shape)


@pytest.mark.parametrize("shape", [0, (), (3, 0), 10])
def test_a_small_one_is_an_ordinary_array(shape: Any) -> None:
    array = shared_array(shape)
    assert array.shape == np.zeros(shape).shape
    assert not memory_of()


def test_objects_cannot_be_shared() -> None:
    with pytest.raises(ValueError, match="objects"):
        shared_array(10, object)


def test_nothing_is_left_of_an_array_that_is_gone() -> None:
    array = filled(1 << 18)
    view = array[10:20]
    del array
    assert len(memory_of()) == 1
    assert view.size == 10
    del view
    assert not memory_of()


def test_a_part_of_an_array_is_found_and_mapped() -> None:
    array = filled(1 << 19)
    for part in (array, array[1:], array[512 : 512 + (1 << 18)], array.reshape(512, 1024)[3:300]):
        copy = mapped(place_of(part))
        assert copy.tobytes() == part.tobytes()
        copy[:] = 0
        assert part.any()


def test_other_memory_is_not_found() -> None:
    assert find_shared(view_of(np.zeros(LEAST))) is None
    assert find_shared(memoryview(bytes(LEAST))) is None
    assert find_shared(view_of(filled(1 << 18) + 1)) is None


async def test_a_copy_in_shared_memory_may_have_several_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aioparcs.shared.memory._PART", LEAST)
    monkeypatch.setattr("aioparcs.shared.memory.usable_cpus", lambda: 3)
    data = np.random.default_rng(1).bytes(5 * LEAST + 5)
    view = await copy_to_shared(memoryview(data))
    assert view is not None
    assert view == data
    memory = view.obj
    assert isinstance(memory, SharedMemory)
    assert len(memory.parts) == 3
    for start, size in ((0, len(data)), (5, LEAST), (2 * LEAST - 3, 3 * LEAST), (4 * LEAST + 4096, 1)):
        parts = list(memory.cut(start, size))
        assert mapped(parts).tobytes() == data[start : start + size]
        target = bytearray(size)
        read_shared(HERE, parts, memoryview(target))
        assert target == data[start : start + size]
    with pytest.raises(ValueError, match="pages"):
        map_shared(os.getpid(), [memory.parts[0]._replace(size=5), memory.parts[1]])


async def test_a_cancelled_copy_leaves_nothing() -> None:
    copying = asyncio.ensure_future(copy_to_shared(memoryview(bytes(64 * LEAST))))
    await asyncio.sleep(0)
    assert memory_of()
    copying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await copying
    assert not memory_of()


@pytest.mark.slow
async def test_values_are_shared_once_each_and_stay_what_they_are() -> None:
    large, shared = np.random.default_rng(2).random((600, 700)), filled(1 << 18)
    columns = np.asfortranarray(large)
    value = {
        "a": [large, (large, 1)],
        "f": columns,
        "part": large.T[::2],
        "bytes": large.tobytes(),
        "small": np.arange(3),
        "shared": shared,
        "objects": np.array([None] * LEAST),
    }
    result = await share_values(value)
    for before, after in ((large, result["a"][0]), (columns, result["f"]), (value["part"], result["part"])):
        assert np.array_equal(before, after)
        assert before.flags.fnc == after.flags.fnc
        assert find_shared(memoryview(after.reshape(-1, order="A").view("u1")))
    assert result["a"][1][0] is result["a"][0]
    assert result["bytes"] == value["bytes"]
    assert result["small"] is value["small"]
    assert result["shared"] is shared
    assert result["objects"] is value["objects"]


# What a peer may refer to instead


def test_another_inode_or_too_much_is_refused() -> None:
    array = filled(1 << 18)
    (part,) = place_of(array)
    for bad in (part._replace(inode=part.inode + 1), part._replace(size=part.size + 1), part._replace(offset=4096)):
        with pytest.raises(ValueError, match=r"other memory|bytes"):
            map_shared(HERE, [bad])
    with pytest.raises(OSError, match="No such file"):
        map_shared(HERE, [part._replace(fd=999_999)])
    with pytest.raises(ValueError, match="bytes"):
        map_shared(HERE, [part._replace(size=0), part])


def refuse(fd: int) -> None:
    state = os.fstat(fd)
    try:
        with pytest.raises(ValueError, match="memory"):
            map_shared(HERE, [SharedPart(fd, state.st_ino, 0, max(state.st_size, 1))])
    finally:
        os.close(fd)


def test_memory_that_may_shrink_is_refused() -> None:
    fd = os.memfd_create("aioparcs", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.ftruncate(fd, LEAST)
    refuse(fd)


def test_an_ordinary_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(LEAST))
    refuse(os.open(tmp_path / "file", os.O_RDONLY))


def test_what_is_no_file_is_refused_and_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    writing = os.open(tmp_path / "fifo", os.O_RDWR | os.O_NONBLOCK)
    refuse(writing)  # to open it for reading alone would wait for a writer
    read, write = os.pipe()
    os.close(write)
    refuse(read)
    refuse(os.open("/dev/zero", os.O_RDONLY))


def test_a_probe_is_read_by_those_who_know_its_secret() -> None:
    probe = own_probe()
    assert probe is not None
    assert own_probe() == probe
    assert is_reachable(*probe)
    assert not is_reachable(probe.pid, probe.fd, bytes(16))
    assert not is_reachable(probe.pid, 999_999, probe.secret)
    assert not is_reachable(2**62, probe.fd, probe.secret)
    read, write = os.pipe()
    assert not is_reachable(probe.pid, read, probe.secret)
    os.close(read)
    os.close(write)


# What there is too little of


@contextmanager
def limited(kind: int, limit: int) -> Iterator[None]:
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)


def test_without_descriptors_memory_is_mapped_and_arrays_are_ordinary_ones() -> None:
    array, other = filled(1 << 18), filled(1 << 18, 1)
    parts = place_of(array) + place_of(other)
    keep_spare()
    taken: list[int] = []
    with limited(resource.RLIMIT_NOFILE, max(map(int, os.listdir("/proc/self/fd"))) + 5):
        with suppress(OSError):
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        ordinary = shared_array(1 << 18)
        copies = [mapped(parts) for _ in range(3)]
        for fd in taken:
            os.close(fd)
    assert find_shared(view_of(ordinary)) is None
    assert all(copy.tobytes() == array.tobytes() + other.tobytes() for copy in copies)


def test_arrays_leave_descriptors_for_files() -> None:
    with limited(resource.RLIMIT_NOFILE, 200):
        arrays = [shared_array(LEAST // 8) for _ in range(200)]
        assert len({find_shared(view_of(array)) is None for array in arrays}) == 2
        files = [os.open(os.devnull, os.O_RDONLY) for _ in range(40)]
    for fd in files:
        os.close(fd)


@pytest.mark.slow
def test_without_memory_a_memory_error_is_raised_and_nothing_is_left() -> None:
    array = filled(1 << 24)
    parts, descriptors = place_of(array), len(os.listdir("/proc/self/fd"))
    with limited(resource.RLIMIT_AS, int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE + (8 << 20)):
        with pytest.raises(MemoryError):
            map_shared(HERE, parts)
        with pytest.raises(MemoryError):
            shared_array(1 << 24)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_forked_process_has_an_array_of_its_own() -> None:
    array = filled(1 << 18)
    before = array.copy()
    pid = os.fork()
    if not pid:
        is_right = np.array_equal(array, before)
        array[:] = 1
        is_right = is_right and bool((array == 1).all()) and not array.base.is_open
        del array
        os._exit(not is_right)
    assert os.waitpid(pid, 0)[1] == 0
    assert np.array_equal(array, before)
    assert array.base.is_open


def test_a_process_that_has_closed_its_descriptors_does_not_lend_or_close_what_has_their_numbers() -> None:
    array = filled(1 << 18)
    memory = array.base
    assert memory.is_open
    (part,) = memory.parts
    other, file = open_memory(LEAST), os.open(os.devnull, os.O_RDONLY)
    for fd in (other, file):  # as a forked child does that closes all and opens its own
        os.dup2(fd, part.fd)
        assert not memory.is_open
    del array, memory
    assert os.fstat(part.fd).st_ino == os.fstat(file).st_ino
    for fd in (other, file, part.fd):
        os.close(fd)
