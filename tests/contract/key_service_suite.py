# SPDX-License-Identifier: Apache-2.0
"""What every `KeyService` must do; run against memory and OpenBao alike."""

import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest

from strongroom.errors import IntegrityError, PreconditionError, Reason
from strongroom_server.core.scope import Scope
from strongroom_server.ports import MAX_REWRAP, KeyAdmin, KeyService, WrappedKey

CONTEXT = b"SRCTX-v1\0" + bytes(range(39))
OTHER_CONTEXT = CONTEXT[:-1] + b"\xff"


def fresh_kek() -> str:
    """Return the name of a KEK that no other test uses."""
    return f"sr.{secrets.token_hex(9)}.{secrets.token_hex(9)}"


def another(letter: str) -> str:
    """Return a letter that differs from this one."""
    return "B" if letter == "A" else "A"


def version_of(wrapped: str) -> int:
    """Return which version of its KEK wraps a key, as the key says."""
    return int(wrapped.split(":")[1].removeprefix("v"))


class KeyServiceSuite:
    """Subclasses give fixtures `keys` and `admin`, which looks after the same KEKs."""

    @pytest.fixture
    def kek(self, keys: KeyService) -> str:
        name = fresh_kek()
        keys.create_kek(name)
        return name

    def test_what_was_wrapped_unwraps_to_itself(
        self, keys: KeyService, kek: str
    ) -> None:
        made = keys.generate(kek, CONTEXT)

        opened = keys.unwrap(kek, CONTEXT, made.wrapped)

        assert opened == made.plaintext
        assert len(opened) == 32

    def test_each_key_is_another(self, keys: KeyService, kek: str) -> None:
        made = [keys.generate(kek, CONTEXT) for _ in range(5)]

        assert len({key.plaintext for key in made}) == 5
        assert len({key.wrapped for key in made}) == 5

    def test_a_data_key_does_not_show_itself(self, keys: KeyService, kek: str) -> None:
        made = keys.generate(kek, CONTEXT)

        assert made.plaintext.hex() not in repr(made)
        assert made.wrapped not in repr(made)

    def test_making_a_kek_again_changes_nothing(
        self, keys: KeyService, kek: str
    ) -> None:
        made = keys.generate(kek, CONTEXT)

        keys.create_kek(kek)

        assert keys.unwrap(kek, CONTEXT, made.wrapped) == made.plaintext

    def test_another_context_opens_nothing(self, keys: KeyService, kek: str) -> None:
        made = keys.generate(kek, CONTEXT)

        with pytest.raises(IntegrityError) as caught:
            keys.unwrap(kek, OTHER_CONTEXT, made.wrapped)

        assert caught.value.reason is Reason.KEY_SLOT_CORRUPT

    def test_another_kek_opens_nothing(self, keys: KeyService, kek: str) -> None:
        made = keys.generate(kek, CONTEXT)
        other = fresh_kek()
        keys.create_kek(other)

        with pytest.raises(IntegrityError) as caught:
            keys.unwrap(other, CONTEXT, made.wrapped)

        assert caught.value.reason is Reason.KEY_SLOT_CORRUPT

    def test_no_changed_letter_opens(self, keys: KeyService, kek: str) -> None:
        wrapped = keys.generate(kek, CONTEXT).wrapped

        for position, letter in enumerate(wrapped):
            changed = wrapped[:position] + another(letter) + wrapped[position + 1 :]
            with pytest.raises(IntegrityError) as caught:
                keys.unwrap(kek, CONTEXT, changed)
            assert caught.value.reason is Reason.KEY_SLOT_CORRUPT

    def test_no_other_spelling_opens(self, keys: KeyService, kek: str) -> None:
        wrapped = keys.generate(kek, CONTEXT).wrapped
        spellings = [
            "",
            "garbage",
            wrapped[:-4],
            wrapped + "AAAA",
            wrapped + "\n",
            wrapped + "=",
            " " + wrapped,
            wrapped[:20] + "\n" + wrapped[20:],
            wrapped.replace(":v1:", ":v0:"),
            wrapped.replace(":v1:", ":v01:"),
            wrapped.upper(),
            wrapped[:-1] + "é",
            wrapped * 100,
        ]

        for spelling in spellings:
            with pytest.raises(IntegrityError) as caught:
                keys.unwrap(kek, CONTEXT, spelling)
            assert caught.value.reason is Reason.KEY_SLOT_CORRUPT

    def test_all_refusals_to_open_look_alike(self, keys: KeyService, kek: str) -> None:
        wrapped = keys.generate(kek, CONTEXT).wrapped
        cases = [
            (OTHER_CONTEXT, wrapped),
            (CONTEXT, wrapped[:-4]),
            (CONTEXT, "garbage"),
        ]

        looks = set()
        for context, text in cases:
            with pytest.raises(IntegrityError) as caught:
                keys.unwrap(kek, context, text)
            error = caught.value
            looks.add((error.message, error.hint, str(error.metadata)))

        assert len(looks) == 1

    def test_a_kek_that_was_never_made_is_missing(self, keys: KeyService) -> None:
        kek = fresh_kek()
        keys.create_kek(kek)
        wrapped = keys.generate(kek, CONTEXT).wrapped
        missing = fresh_kek()

        with pytest.raises(PreconditionError) as of_generate:
            keys.generate(missing, CONTEXT)
        with pytest.raises(PreconditionError) as of_unwrap:
            keys.unwrap(missing, CONTEXT, wrapped)

        assert of_generate.value.reason is Reason.KEK_MISSING
        assert of_unwrap.value.reason is Reason.KEK_MISSING
        assert missing in of_unwrap.value.message

    def test_a_version_that_a_kek_does_not_have_is_missing(
        self, keys: KeyService, kek: str
    ) -> None:
        wrapped = keys.generate(kek, CONTEXT).wrapped

        with pytest.raises(PreconditionError) as caught:
            keys.unwrap(kek, CONTEXT, wrapped.replace(":v1:", ":v7:"))

        assert caught.value.reason is Reason.KEK_MISSING

    @pytest.mark.parametrize(
        "name",
        ["", "sr", "sr.", "../sys/seal", "sr.a/config", "sr.a/../b", "sr.A", "sr.a?b"],
    )
    def test_a_name_that_is_no_kek_reaches_no_other_path(
        self, keys: KeyService, kek: str, name: str
    ) -> None:
        wrapped = keys.generate(kek, CONTEXT).wrapped

        with pytest.raises(PreconditionError) as caught:
            keys.unwrap(name, CONTEXT, wrapped)

        assert caught.value.reason is Reason.KEK_MISSING

    def test_an_empty_context_is_a_bug_of_the_caller(
        self, keys: KeyService, kek: str
    ) -> None:
        with pytest.raises(ValueError, match="context"):
            keys.generate(kek, b"")

    def test_many_threads_may_ask_at_once(self, keys: KeyService, kek: str) -> None:
        def round_trip(_: int) -> bool:
            made = keys.generate(kek, CONTEXT)
            return keys.unwrap(kek, CONTEXT, made.wrapped) == made.plaintext

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(round_trip, range(32)))

    def test_a_kek_has_one_version_until_it_is_rotated(
        self, keys: KeyService, admin: KeyAdmin, kek: str
    ) -> None:
        first = keys.kek_state(kek)
        made = keys.generate(kek, CONTEXT)

        assert admin.rotate(kek) == 2

        state = keys.kek_state(kek)
        assert (first.newest, first.oldest, set(first.create_times)) == (1, 1, {1})
        assert (state.newest, state.oldest, set(state.create_times)) == (2, 1, {1, 2})
        assert version_of(made.wrapped) == 1
        assert version_of(keys.generate(kek, CONTEXT).wrapped) == 2
        assert keys.unwrap(kek, CONTEXT, made.wrapped) == made.plaintext

    def test_keys_are_wrapped_again_each_in_its_context(
        self, keys: KeyService, admin: KeyAdmin, kek: str
    ) -> None:
        contexts = [CONTEXT, OTHER_CONTEXT]
        made = [keys.generate(kek, context) for context in contexts]
        admin.rotate(kek)

        again = keys.rewrap(
            kek,
            [
                WrappedKey(context, key.wrapped)
                for context, key in zip(contexts, made, strict=True)
            ],
        )

        for context, key, text in zip(contexts, made, again, strict=True):
            assert text is not None
            assert version_of(text) == 2
            assert keys.unwrap(kek, context, text) == key.plaintext
        assert keys.rewrap(kek, []) == []

    def test_what_cannot_be_wrapped_again_holds_up_nothing_else(
        self, keys: KeyService, kek: str
    ) -> None:
        good = keys.generate(kek, CONTEXT)
        bad = good.wrapped[:-8] + another(good.wrapped[-8]) + good.wrapped[-7:]
        asked = [
            WrappedKey(OTHER_CONTEXT, good.wrapped),
            WrappedKey(CONTEXT, "garbage"),
            WrappedKey(CONTEXT, good.wrapped),
            WrappedKey(CONTEXT, bad),
            WrappedKey(CONTEXT, good.wrapped.replace(":v1:", ":v2:")),
        ]

        again = keys.rewrap(kek, asked)

        assert [text is not None for text in again] == [
            False, False, True, False, False,
        ]  # fmt: skip
        assert again[2] is not None
        assert keys.unwrap(kek, CONTEXT, again[2]) == good.plaintext
        assert keys.rewrap(kek, asked[:2]) == [None, None]

    def test_a_hundred_made_up_keys_hide_no_true_one(
        self, keys: KeyService, kek: str
    ) -> None:
        good = keys.generate(kek, CONTEXT)
        head, _, tail = good.wrapped.rpartition(":")
        made_up = [
            WrappedKey(CONTEXT, f"{head}:{format(number, '04d')}{tail[4:]}")
            for number in range(MAX_REWRAP - 1)
        ]

        again = keys.rewrap(kek, [*made_up, WrappedKey(CONTEXT, good.wrapped)])

        assert [text is not None for text in again] == [False] * 99 + [True]

    def test_the_marks_of_epochs_are_keys_that_can_be_asked_for(
        self, keys: KeyService
    ) -> None:
        scope = Scope(secrets.token_bytes(16), secrets.token_bytes(18),
                      secrets.token_bytes(18), 1)  # fmt: skip

        keys.create_kek(scope.epoch_mark)

        assert keys.kek_state(scope.epoch_mark).newest == 1
        with pytest.raises(PreconditionError) as caught:
            keys.kek_state(scope.at_epoch(2).epoch_mark)
        assert caught.value.reason is Reason.KEK_MISSING

    def test_more_keys_than_fit_are_a_bug_of_the_caller(
        self, keys: KeyService, kek: str
    ) -> None:
        key = WrappedKey(CONTEXT, keys.generate(kek, CONTEXT).wrapped)

        assert None not in keys.rewrap(kek, [key] * MAX_REWRAP)
        with pytest.raises(ValueError, match="too many"):
            keys.rewrap(kek, [key] * (MAX_REWRAP + 1))

    def test_a_retired_version_unwraps_nothing_and_that_stays(
        self, keys: KeyService, admin: KeyAdmin, kek: str
    ) -> None:
        old = keys.generate(kek, CONTEXT)
        admin.rotate(kek)
        [again] = keys.rewrap(kek, [WrappedKey(CONTEXT, old.wrapped)])
        assert again is not None

        changes = [admin.retire(kek, oldest=oldest) for oldest in (1, 2, 2, 1)]

        assert changes == [False, True, False, False]
        state = keys.kek_state(kek)
        assert (state.newest, state.oldest, set(state.create_times)) == (2, 2, {2})
        with pytest.raises(PreconditionError) as caught:
            keys.unwrap(kek, CONTEXT, old.wrapped)
        assert caught.value.reason is Reason.KEK_ACCESS_DENIED
        assert keys.rewrap(kek, [WrappedKey(CONTEXT, old.wrapped)]) == [None]
        assert keys.unwrap(kek, CONTEXT, again) == old.plaintext

    def test_of_a_kek_that_was_never_made_there_is_nothing_to_tell(
        self, keys: KeyService, admin: KeyAdmin, kek: str
    ) -> None:
        wrapped = keys.generate(kek, CONTEXT).wrapped
        missing = fresh_kek()

        for call in (
            lambda: keys.kek_state(missing),
            lambda: keys.rewrap(missing, [WrappedKey(CONTEXT, wrapped)]),
            lambda: admin.rotate(missing),
            lambda: admin.retire(missing, oldest=1),
        ):
            with pytest.raises(PreconditionError) as caught:
                call()
            assert caught.value.reason is Reason.KEK_MISSING

    def test_a_service_that_works_is_ready(self, keys: KeyService) -> None:
        keys.check_ready()
