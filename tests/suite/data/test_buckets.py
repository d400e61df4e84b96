import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from suite.data.buckets import length_bucketed_order, padding_share

COUNTS = st.lists(st.integers(1, 2000), min_size=1, max_size=300)


def _order(lengths: list[int], batch_size: int, seed: int = 0) -> list[torch.Tensor]:
    return length_bucketed_order(np.array(lengths), batch_size, torch.Generator().manual_seed(seed))


@given(COUNTS, st.integers(1, 40))
def test_every_row_comes_once_and_only_one_batch_per_window_is_short(lengths: list[int], batch_size: int) -> None:
    batches = _order(lengths, batch_size)
    assert sorted(torch.cat(batches).tolist()) == list(range(len(lengths)))
    assert sorted(len(batch) for batch in batches)[1:] == [batch_size] * (len(batches) - 1)


def test_same_generator_same_order_and_other_seed_other_order() -> None:
    lengths = list(range(1, 101))
    first, second, other = _order(lengths, 8), _order(lengths, 8), _order(lengths, 8, seed=1)
    assert [batch.tolist() for batch in first] == [batch.tolist() for batch in second]
    assert [batch.tolist() for batch in first] != [batch.tolist() for batch in other]


def test_batches_are_not_ordered_by_length() -> None:
    firsts = [int(batch[0]) for batch in _order(list(range(400)), 8)]
    assert firsts != sorted(firsts)


def test_padding_share_counts_missing_tokens() -> None:
    assert padding_share(np.array([2, 4, 4, 4]), [torch.tensor([0, 1]), torch.tensor([2, 3])]) == 1 - 14 / 16


def test_buckets_pad_far_less_than_random_batches() -> None:
    lengths = np.random.default_rng(0).lognormal(5, 0.5, 1000).astype(np.int64) + 1
    random = list(torch.randperm(1000, generator=torch.Generator().manual_seed(0)).split(16))
    bucketed = length_bucketed_order(lengths, 16, torch.Generator().manual_seed(0))
    assert padding_share(lengths, bucketed) < 0.08 < 0.5 < padding_share(lengths, random)
