# SPDX-License-Identifier: Apache-2.0
"""How `torch.distributed.checkpoint` comes to our classes by a plain `strongroom://`.

Torch picks its own `FsspecWriter` and `FsspecReader` for every id that fsspec knows,
and has no place to register others. Its writer would make a version of each rank's
file, so half checkpoints would show.
"""

import sys
from typing import Final

from strongroom.errors import InvalidArgumentError

_MODULE: Final = "torch.distributed.checkpoint._fsspec_filesystem"
#: What torch calls the files of single ranks.
_RANK_FILE_SUFFIX: Final = ".distcp"


def adopt_torch() -> None:
    """Have torch's classes make ours for `strongroom://`; nothing else changes.

    Called whenever fsspec looks at a URL, which torch does before it makes a writer
    or a reader. Does not import torch.
    """
    module = sys.modules.get(_MODULE)
    if module is None or not hasattr(module, "FsspecReader"):
        return
    from strongroom.integrations.checkpoint import adopt  # noqa: PLC0415 - needs torch

    adopt(module.FsspecWriter, module.FsspecReader)


def refuse_rank_file(path: str) -> None:
    """Refuse a file of a distributed checkpoint, if it comes alone.

    Raises:
        InvalidArgumentError: It is one; each would become a version (ARGUMENT_INVALID).
    """
    if path.endswith(_RANK_FILE_SUFFIX):
        message = f"{path} is a part of a distributed checkpoint, which is one version"
        raise InvalidArgumentError(
            message,
            hint="Pass storage_writer=StrongroomWriter() of "
            "strongroom.integrations.checkpoint.",
            path=path,
        )
