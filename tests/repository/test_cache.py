# SPDX-License-Identifier: Apache-2.0
"""The bounded cache: what was used last stays, and never too much of it."""

from strongroom_server.repository.cache import Cache


def test_what_was_used_last_stays() -> None:
    cache: Cache[str, int] = Cache(3)
    for key in "abc":
        cache.put(key, ord(key), weight=1)

    assert cache.get("a") == ord("a")
    cache.put("d", 4, weight=1)

    assert [cache.get(key) for key in "abcd"] == [ord("a"), None, ord("c"), 4]


def test_weights_are_bounded_together() -> None:
    cache: Cache[int, int] = Cache(100)
    for key in range(1000):
        cache.put(key, key, weight=30)

    assert [key for key in range(1000) if cache.get(key) is not None] == [997, 998, 999]


def test_a_value_that_is_replaced_counts_once() -> None:
    cache: Cache[str, int] = Cache(10)
    cache.put("other", 0, weight=4)
    for number in range(20):
        cache.put("a", number, weight=5)

    assert (cache.get("other"), cache.get("a")) == (0, 19)


def test_a_value_heavier_than_the_limit_stays_alone_until_the_next() -> None:
    cache: Cache[str, int] = Cache(10)
    cache.put("a", 1, weight=1)

    cache.put("heavy", 2, weight=1000)
    assert (cache.get("a"), cache.get("heavy")) == (None, 2)
    cache.put("b", 3, weight=1)

    assert (cache.get("heavy"), cache.get("b")) == (None, 3)


def test_values_without_weight_are_bounded_too() -> None:
    cache: Cache[int, int] = Cache(3)
    for key in range(10):
        cache.put(key, key, weight=0)

    assert [key for key in range(10) if cache.get(key) is not None] == [7, 8, 9]


def test_what_must_stay_is_not_replaced() -> None:
    cache: Cache[str, int] = Cache(3)
    cache.put("a", 5, weight=1)

    kept = cache.put("a", 4, weight=1, unless=lambda current: current > 4)

    assert (kept, cache.get("a")) == (5, 5)
