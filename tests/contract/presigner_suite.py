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
