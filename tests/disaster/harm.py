# SPDX-License-Identifier: Apache-2.0
"""What happens to a primary: by an administrator's credential, or by a bad day."""

from typing import Final

from strongroom_server.dev.seaweed import BUCKET
from tests.disaster.site import Site
from tests.support.samples import filled

#: What a stack's own probes write; nothing of the store's.
_NOT_OURS: Final = "strongroom-dev-probe"
_BATCH: Final = 500


def delete_everything(site: Site) -> int:
    """Remove every version of every object for good; return how many."""
    with site.primary() as s3:
        found = site.primary_objects()
        for start in range(0, len(found), _BATCH):
            batch = found[start : start + _BATCH]
            doomed = [{"Key": key, "VersionId": version} for key, version in batch]
            s3.delete_objects(Bucket=BUCKET, Delete={"Objects": doomed, "Quiet": True})
    return len(found)


def overwrite_packs(site: Site) -> int:
    """Put garbage in the place of every pack, and remove what was there."""
    with site.primary() as s3:
        found = [
            item for item in site.primary_objects() if item[0].startswith("packs/")
        ]
        for number, (key, version) in enumerate(found):
            s3.delete_object(Bucket=BUCKET, Key=key, VersionId=version)
            garbage = filled(f"garbage {number}", 4096)
            s3.put_object(Bucket=BUCKET, Key=key, Body=garbage)
    return len(found)


def hide_everything(site: Site) -> int:
    """Put a delete marker over every object; return how many."""
    with site.primary() as s3:
        keys = sorted({key for key, _ in site.primary_objects()} - {_NOT_OURS})
        for key in keys:
            s3.delete_object(Bucket=BUCKET, Key=key)
    return len(keys)
