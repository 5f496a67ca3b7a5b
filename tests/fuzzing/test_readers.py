"""A short run of the fuzzer with plain random numbers; benchmarks/fuzz_readers.py is the long one, guided by coverage."""

import random
import time

import pytest

from tests.fuzzing.bending import bent_bytes
from tests.fuzzing.readers import READERS, Reader, try_one


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_the_seeds_are_read(reader: Reader) -> None:
    """What the fuzzer begins with is accepted."""
    assert all(try_one(reader, seed) for seed in reader.seeds())


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_a_bent_file_is_read_or_refused(reader: Reader) -> None:
    """Half a second of bent files for each reader: nothing comes out but the promised refusals."""
    _attack(reader, seconds=0.5)


@pytest.mark.slow
@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)
def test_bent_files_are_read_or_refused_for_longer(reader: Reader) -> None:
    """Ten seconds over all readers, with other numbers."""
    _attack(reader, seconds=2.5, start=10_000)


def _attack(reader: Reader, *, seconds: float, start: int = 0) -> None:
    seeds, end, number = reader.seeds(), time.process_time() + seconds, start
    refused = 0
    while time.process_time() < end:
        rng = random.Random(number)
        data = rng.choice(seeds)
        for _ in range(rng.choice((1, 1, 2, 4))):
            data = reader.bend(data, rng, bent_bytes)
        began = time.process_time()
        refused += not try_one(reader, data)
        assert time.process_time() - began < 2, f"{reader.name} {number} took seconds"
        number += 1
    assert number - start > 20
    assert refused or reader.name == "safetensors"
