"""Fit a linear model to a share of the data, in step with the workers that have the other shares."""

import asyncio

import numpy as np

from aioparcs import Service, serve


class Trainer(Service):
    async def run(self) -> None:
        await self.send(await self.listen())
        onward, x, y, rows, steps = await self.recv()
        self.after, self.before = await asyncio.gather(self.connect(onward), self.accept())
        weights = np.zeros(x.shape[1])
        for step in range(steps):
            slope = x.T @ (x @ weights - y) / rows  # what this share adds to that of the mean squared error
            await self.all_reduce(slope)
            weights -= 0.8 * slope
            self.progress(step + 1, steps)
        if self.rank == 0:  # all have the same
            await self.send(weights)

    async def all_reduce(self, vector: np.ndarray) -> None:
        """
        Add up the vectors of all workers, so that each has the sum in place of its own.

        The vector is cut into as many parts as there are workers. In each step every worker sends one part to the
        next worker of the ring, and gets another from the one before: on the first lap parts are added up, on the
        second the sums go round. However many workers there are, each sends no more than two vectors in all.
        """
        parts = np.array_split(vector, self.size)
        for step in range(2 * (self.size - 1)):
            mine, theirs = parts[(self.rank - step) % self.size], parts[(self.rank - step - 1) % self.size]
            _, arrived = await asyncio.gather(self.after.send(mine), self.before.recv())
            theirs[:] = theirs + arrived if step < self.size - 1 else arrived


serve(Trainer)
