"""Who shares a budget: never more than it, but for what the oldest needs; and nobody waits for ever."""

import asyncio
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.service.budget import Budget


@given(
    st.integers(1, 50),
    st.lists(st.lists(st.integers(1, 10), min_size=1, max_size=8), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
)
def test_all_get_theirs_and_only_the_oldest_more_than_there_is(size, bodies, rng: random.Random):
    budget = Budget(size)
    largest = max(sum(steps) for steps in bodies)
    most = 0

    async def take(steps):
        nonlocal most
        ticket, held = budget.ticket(), 0
        for step in steps:
            if not budget.take_now(step, ticket, held):
                await budget.take(step, 20, ticket, held)
            held += step
            most = max(most, budget.used)
            for _ in range(rng.randrange(3)):
                await asyncio.sleep(0)
        budget.give(held)

    async def main():
        await asyncio.gather(*map(take, bodies))

    asyncio.run(main())
    assert budget.used == 0
    assert not budget.is_short
    assert most <= size + largest


def test_who_waits_too_long_leaves_nothing_behind():
    async def main():
        budget = Budget(10)
        assert budget.take_now(10, budget.ticket())
        large, small = budget.ticket(), budget.ticket()
        waiting = asyncio.create_task(budget.take(8, 20, small))
        with pytest.raises(TimeoutError):
            await budget.take(100, 0.01, large)
        assert budget.is_short
        budget.give(10)
        await waiting
        assert (budget.used, budget.is_short) == (8, False)
        budget.give(8)
        assert budget.used == 0

    asyncio.run(main())


def test_more_than_all_of_it_goes_alone():
    async def main():
        budget = Budget(10)
        assert budget.take_now(50, budget.ticket())
        assert not budget.take_now(1, budget.ticket())
        budget.give(50)
        assert budget.take_now(1, budget.ticket())

    asyncio.run(main())
