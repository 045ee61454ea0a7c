# SPDX-License-Identifier: Apache-2.0
"""What the stack's bucket forbids to the identities that use it.

"Write" lets a SeaweedFS identity destroy versions too. The server never does, so
whoever steals its keys shall not either. The remover does nothing else, and leaves
alone what no sweep touches.
"""

from typing import Final

#: Folders from which a sweep removes nothing.
_KEPT: Final = ("audit", "journals", "keys", "projects", "repairs", "sweep")
_NEVER: Final = ("s3:PutBucketVersioning", "s3:BypassGovernanceRetention")
_NO_WRITES: Final = (
    "s3:PutObject",
    "s3:DeleteObject",
    "s3:PutObjectRetention",
    "s3:PutObjectLegalHold",
)


def bucket_policy(bucket: str, server: str, remover: str) -> dict[str, object]:
    """Return the policy document of a bucket, for these two identities."""
    everywhere = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    kept = [f"arn:aws:s3:::{bucket}/{folder}/*" for folder in _KEPT]
    kept.append(f"arn:aws:s3:::{bucket}/strongroom.json")
    return {
        "Version": "2012-10-17",
        "Statement": [
            _deny(server, ("s3:DeleteObjectVersion", *_NEVER), everywhere),
            _deny(remover, (*_NO_WRITES, *_NEVER), everywhere),
            _deny(remover, ("s3:DeleteObjectVersion",), kept),
        ],
    }


def _deny(
    identity: str, actions: tuple[str, ...], resources: list[str]
) -> dict[str, object]:
    return {
        "Effect": "Deny",
        "Principal": {"AWS": f"arn:aws:iam::000000000000:user/{identity}"},
        "Action": list(actions),
        "Resource": resources,
    }
