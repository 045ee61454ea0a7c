# SPDX-License-Identifier: Apache-2.0
"""What the stack's bucket forbids to the identities that use it.

"Write" lets a SeaweedFS identity destroy versions too. The server never does, so
whoever steals its keys shall not either. The remover does nothing else, and leaves
alone what no sweep touches; the shredder removes key slots, and nothing else.
"""

from typing import Final

#: Folders from which a sweep removes nothing.
_KEPT: Final = (
    "approvals", "audit", "journals", "keys", "projects", "repairs", "shreds", "sweep",
)  # fmt: skip
#: Folders of which a shredding removes nothing, beside those that hold slots.
_UNSHREDDED: Final = (
    "approvals", "audit", "index", "journals", "manifests", "packs", "projects",
    "repairs/mended", "repairs/objects/journals", "repairs/objects/manifests",
    "repairs/objects/packs", "repairs/objects/projects", "repairs/objects/sweep",
    "shreds", "sweep", "uploads",
)  # fmt: skip
_NEVER: Final = ("s3:PutBucketVersioning", "s3:BypassGovernanceRetention")
_NO_WRITES: Final = (
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:PutObjectRetention",
    "s3:PutObjectLegalHold",
)


def bucket_policy(
    bucket: str, server: str, remover: str, shredder: str
) -> dict[str, object]:
    """Return the policy document of a bucket, for these three identities."""
    everywhere = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    record = f"arn:aws:s3:::{bucket}/strongroom.json"
    kept = [f"arn:aws:s3:::{bucket}/{folder}/*" for folder in _KEPT]
    unshredded = [f"arn:aws:s3:::{bucket}/{folder}/*" for folder in _UNSHREDDED]
    return {
        "Version": "2012-10-17",
        "Statement": [
            deny(server, ("s3:DeleteObjectVersion", *_NEVER), everywhere),
            deny(remover, (*_NO_WRITES, *_NEVER), everywhere),
            deny(remover, ("s3:DeleteObjectVersion",), [*kept, record]),
            deny(shredder, (*_NO_WRITES, *_NEVER), everywhere),
            deny(shredder, ("s3:DeleteObjectVersion",), [*unshredded, record]),
        ],
    }


def deny(
    identity: str, actions: tuple[str, ...], resources: list[str]
) -> dict[str, object]:
    """Return the statement that forbids actions to one identity."""
    return {
        "Effect": "Deny",
        "Principal": {"AWS": f"arn:aws:iam::000000000000:user/{identity}"},
        "Action": list(actions),
        "Resource": resources,
    }
