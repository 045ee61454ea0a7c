# SPDX-License-Identifier: Apache-2.0
"""What every `BlobPresigner` keeps: one URL a version, for its time only."""

from strongroom_server.ports import BlobPresigner


class BlobPresignerSuite:
    """The contract; `presigner` is a fixture of the adapter's own."""

    def test_each_key_and_version_has_a_url_of_its_own(
        self, presigner: BlobPresigner
    ) -> None:
        places = [("packs/aa/b", "v1"), ("packs/aa/b", "v2"), ("packs/aa/c", "v1")]

        urls = {
            presigner.presign(key, version_id=version, lifetime_s=60)
            for key, version in places
        }

        assert len(urls) == len(places)

    def test_a_url_names_its_key_and_version(self, presigner: BlobPresigner) -> None:
        url = presigner.presign("packs/aa/b", version_id="v-1", lifetime_s=60)

        assert "packs/aa/b?" in url
        assert "versionId=v-1" in url

    def test_a_put_is_of_one_key_and_length_and_of_nothing_that_is_there(
        self, presigner: BlobPresigner
    ) -> None:
        put = presigner.presign_put(
            "packs/aa/b", size_bytes=1000, crc32=7, lifetime_s=60
        )
        other = presigner.presign_put(
            "packs/aa/c", size_bytes=1000, crc32=7, lifetime_s=60
        )

        assert "packs/aa/b?" in put.url
        assert put.url != other.url
        assert put.headers["content-length"] == "1000"
        assert put.headers["if-none-match"] == "*"

    def test_a_put_shows_no_url_to_who_prints_it(
        self, presigner: BlobPresigner
    ) -> None:
        put = presigner.presign_put("packs/aa/b", size_bytes=1, crc32=7, lifetime_s=60)

        assert "packs/aa/b" not in repr(put)
