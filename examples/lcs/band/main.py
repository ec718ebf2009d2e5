"""Go down a band of columns of the table, with carries from the worker to the left, and to the one to the right."""

from bits import descend, places

from aioparcs import Service, serve


class Band(Service):
    async def run(self) -> None:
        await self.send(await self.listen())
        onward, columns, rows, height = await self.recv()
        right = await self.connect(onward) if onward else None
        left = await self.accept() if self.rank > 0 else None
        width, letters = len(columns), places(columns)
        bits = (1 << width) - 1
        for top in range(0, len(rows), height):
            some = rows[top : top + height]
            carries = await left.recv() if left else bytes(len(some))
            bits, carries = descend(bits, width, some, carries, letters)
            if right:
                await right.send(carries)
            self.progress(top + len(some), len(rows))
        await self.send(width - bits.bit_count())


serve(Band)
