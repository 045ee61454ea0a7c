# SPDX-License-Identifier: Apache-2.0
"""Journals in a store: rewound, reordered, forged or lost entries are told."""

import pytest

from strongroom.errors import IntegrityError, Reason
from strongroom.format.names import ArtifactName
from tests.support.damage import one_bit_flipped
from tests.support.samples import signer
from tests.support.world import World


@pytest.fixture
def pushed(world: World) -> World:
    for number in range(1, 4):
        world.push({"a": str(number).encode()})
    world.move("prod", "2")
    return world


def entries(world: World) -> list[tuple[str, str, bytes]]:
    """Key, version id and bytes of each journal entry, oldest first."""
    return [
        (item.key, item.version_id, data)
        for item, data in world.bucket.objects()
        if item.key.startswith("journals/")
    ]


def reason_of(world: World) -> Reason:
    with pytest.raises(IntegrityError) as caught:
        world.pull()
    return caught.value.reason


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_a_rewound_journal_is_told_by_a_warm_engine(pushed: World, count: int) -> None:
    assert pushed.pull() == {"a": b"3"}
    for key, version_id, _ in entries(pushed)[-count:]:
        pushed.bucket.delete_version(key, version_id)

    assert reason_of(pushed) is Reason.JOURNAL_REWOUND


def test_a_rewound_journal_is_told_by_an_engine_that_only_kept_its_index(
    pushed: World,
) -> None:
    kept = pushed.reopened()
    kept.pull()
    index = kept.index
    key, version_id, _ = entries(pushed)[-1]
    pushed.bucket.delete_version(key, version_id)

    restarted = World(
        blobs=pushed.blobs,
        key_service=pushed.key_service,
        signer=pushed.signer,
        index=index,
        executor=pushed.executor,
    )

    assert reason_of(restarted) is Reason.JOURNAL_REWOUND


def test_nothing_is_pushed_to_a_rewound_journal(pushed: World) -> None:
    key, version_id, _ = entries(pushed)[-1]
    pushed.bucket.delete_version(key, version_id)

    with pytest.raises(IntegrityError) as caught:
        pushed.push({"a": b"4"})

    assert caught.value.reason is Reason.JOURNAL_REWOUND
    assert len(entries(pushed)) == 4


@pytest.mark.parametrize("number", [0, 1, 3])
def test_a_gap_is_told_by_any_engine(pushed: World, number: int) -> None:
    key, version_id, _ = entries(pushed)[number]
    pushed.bucket.delete_version(key, version_id)

    assert reason_of(pushed.reopened()) is Reason.JOURNAL_CORRUPT


@pytest.mark.parametrize(("first", "second"), [(1, 2), (0, 1), (3, 4)])
def test_entries_that_change_places_are_told(
    pushed: World, first: int, second: int
) -> None:
    stored = entries(pushed)
    pushed.bucket.corrupt(*stored[first][:2], stored[second][2])
    pushed.bucket.corrupt(*stored[second][:2], stored[first][2])

    assert reason_of(pushed.reopened()) is Reason.JOURNAL_CORRUPT


def test_an_entry_of_another_artifact_is_told(pushed: World) -> None:
    pushed.push({"a": b"1"}, ArtifactName("demo", "other"))
    by_journal: dict[str, list[tuple[str, str, bytes]]] = {}
    for entry in entries(pushed):
        by_journal.setdefault(entry[0].rpartition("/")[0], []).append(entry)
    other, mine = sorted(by_journal.values(), key=len)
    pushed.bucket.corrupt(*mine[0][:2], other[0][2])

    assert reason_of(pushed.reopened()) is Reason.JOURNAL_CORRUPT


def test_an_entry_signed_by_strangers_is_told(pushed: World) -> None:
    stranger = World(
        blobs=pushed.blobs,
        key_service=pushed.key_service,
        signer=signer(),
        executor=pushed.executor,
    )

    assert reason_of(stranger) is Reason.SIGNATURE_INVALID


def test_a_damaged_entry_is_told_and_nothing_can_be_pushed_over_it(
    pushed: World,
) -> None:
    key, version_id, data = entries(pushed)[2]
    pushed.bucket.corrupt(key, version_id, one_bit_flipped(data, 8 * 300))
    fresh = pushed.reopened()

    assert reason_of(fresh) in {Reason.JOURNAL_CORRUPT, Reason.SIGNATURE_INVALID}
    with pytest.raises(IntegrityError):
        fresh.push({"a": b"4"})


def test_junk_among_the_entries_is_told(pushed: World) -> None:
    folder = entries(pushed)[0][0].rpartition("/")[0]
    pushed.bucket.put_new(f"{folder}/00000000000000000009", b"junk")

    assert reason_of(pushed.reopened()) is Reason.JOURNAL_CORRUPT


def test_junk_beside_the_journals_is_left_alone(pushed: World) -> None:
    folder = entries(pushed)[0][0].rpartition("/")[0].rpartition("/")[0]
    pushed.bucket.put_new(f"{folder}/README/0", b"junk")
    pushed.bucket.put_new("journals/README", b"junk")

    assert pushed.reopened().pull() == {"a": b"3"}
    artifacts = pushed.reopened().artifacts
    project = artifacts.list_projects(page_size=0, page_token="").items[0].name
    assert len(artifacts.list_artifacts(project, page_size=0, page_token="").items) == 1


def test_an_index_that_is_wrong_is_not_believed(pushed: World) -> None:
    reader = pushed.reopened()
    reader.pull()
    damaged = {
        key: one_bit_flipped(value, 8 * (len(value) // 2))
        for key, value in reader.index.scan(b"j")
    }
    reader.index.put_many(damaged)

    restarted = World(
        blobs=pushed.blobs,
        key_service=pushed.key_service,
        signer=pushed.signer,
        index=reader.index,
        executor=pushed.executor,
    )

    assert restarted.pull("prod") == {"a": b"2"}
    assert restarted.push({"a": b"4"}).version.number == 4


def test_entries_of_older_signing_keys_go_on_verifying(pushed: World) -> None:
    pushed.signer.rotate()
    pushed.push({"a": b"4"})

    page = pushed.reopened().artifacts.list_journal(
        pushed.artifacts.get_artifact(ArtifactName("demo", "minilm")).name,
        page_size=2,
        page_token="",
    )

    assert [item.key_ids[0][-1] for item in page.items] == ["2", "1"]
