# SPDX-License-Identifier: Apache-2.0
"""What every `Index` must do, whoever makes it.

A subclass gives the fixture `index`, empty and for this test alone.
"""

from concurrent.futures import ThreadPoolExecutor

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from strongroom_server.ports import Index

ITEMS = st.dictionaries(st.binary(min_size=1, max_size=6), st.binary(max_size=40))


class IndexSuite:
    """The contract of `strongroom_server.ports.Index`, as tests."""

    def test_what_was_put_is_found(self, index: Index) -> None:
        index.put_many({b"a": b"1", b"b": b""})

        assert index.get(b"a") == b"1"
        assert index.get(b"b") == b""
        assert index.get(b"c") is None

    def test_a_later_value_replaces_an_earlier_one(self, index: Index) -> None:
        index.put_many({b"a": b"1"})

        index.put_many({b"a": b"a longer value"})

        assert index.get(b"a") == b"a longer value"
        assert list(index.scan(b"")) == [(b"a", b"a longer value")]

    def test_keys_may_have_1_to_500_bytes(self, index: Index) -> None:
        index.put_many({b"\0": b"short", b"\xff" * 500: b"long"})

        assert index.get(b"\0") == b"short"
        assert index.get(b"\xff" * 500) == b"long"

    def test_values_may_be_large(self, index: Index) -> None:
        index.put_many({b"a": b"x" * 3_000_000, b"b": b"y" * 3_000_000})

        assert index.get(b"a") == b"x" * 3_000_000
        assert index.get(b"b") == b"y" * 3_000_000

    def test_a_scan_yields_its_prefix_in_order(self, index: Index) -> None:
        index.put_many({b"b": b"", b"ab": b"2", b"a": b"1", b"a\xff": b"3", b"B": b""})

        assert list(index.scan(b"a")) == [(b"a", b"1"), (b"ab", b"2"), (b"a\xff", b"3")]
        assert [key for key, _ in index.scan(b"")] == [
            b"B",
            b"a",
            b"ab",
            b"a\xff",
            b"b",
        ]
        assert list(index.scan(b"c")) == []
        assert list(index.scan(b"\xff")) == []

    def test_a_scan_of_thousands_is_whole(self, index: Index) -> None:
        items = {b"k%06d" % number: b"v%d" % number for number in range(3000)}
        index.put_many(items)

        assert dict(index.scan(b"k")) == items
        assert len(list(index.scan(b"k0010"))) == 100

    def test_puts_are_allowed_during_a_scan(self, index: Index) -> None:
        index.put_many({b"a%d" % number: b"" for number in range(5)})

        for key, _ in index.scan(b"a"):
            index.put_many({b"b" + key: b""})

        assert len(list(index.scan(b"b"))) == 5

    def test_what_has_a_prefix_is_forgotten_and_nothing_else(
        self, index: Index
    ) -> None:
        many = {b"b%06d" % number: b"v" for number in range(3000)}
        index.put_many({b"a": b"1", b"b": b"2", b"c": b"3", b"\xff": b"4", **many})

        index.forget(b"b")
        index.forget(b"nothing")

        assert [key for key, _ in index.scan(b"")] == [b"a", b"c", b"\xff"]
        index.put_many({b"b": b"again"})
        assert index.get(b"b") == b"again"

    def test_after_clear_nothing_is_left(self, index: Index) -> None:
        index.put_many({b"a": b"1"})

        index.clear()

        assert index.get(b"a") is None
        assert list(index.scan(b"")) == []
        index.put_many({b"a": b"2"})
        assert index.get(b"a") == b"2"

    def test_threads_do_not_disturb_each_other(self, index: Index) -> None:
        def work(number: int) -> None:
            for turn in range(40):
                index.put_many({b"%d/%d" % (number, turn): b"%d" % turn * 100})
                assert index.get(b"%d/%d" % (number, turn)) == b"%d" % turn * 100
                assert len(list(index.scan(b"%d/" % number))) == turn + 1

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))

        assert len(list(index.scan(b""))) == 320

    @settings(
        max_examples=40,
        deadline=None,
        # Cleared for each example; and one suite runs for several adapters.
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
        ],
    )
    @given(before=ITEMS, after=ITEMS, prefix=st.binary(max_size=2))
    def test_it_behaves_like_a_sorted_dictionary(
        self,
        index: Index,
        before: dict[bytes, bytes],
        after: dict[bytes, bytes],
        prefix: bytes,
    ) -> None:
        index.clear()
        index.put_many(before)
        index.put_many(after)

        model = {**before, **after}
        assert list(index.scan(prefix)) == sorted(
            item for item in model.items() if item[0].startswith(prefix)
        )
        assert {key: index.get(key) for key in model} == model
