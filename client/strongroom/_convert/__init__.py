# SPDX-License-Identifier: Apache-2.0
"""Messages of `strongroom.v1` turned into the SDK's own values."""

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from strongroom._convert.approvals import (
        approval_listing_of,
        approval_name,
        approval_of,
    )
    from strongroom._convert.backups import (
        backup_finding_of,
        backup_listing_of,
        backup_of,
        backup_report_of,
        backup_stage_of,
        backup_summary_of,
    )
    from strongroom._convert.catalog import (
        answered_version_of,
        artifact_of,
        diff_summary_of,
        file_change_of,
        file_of,
        journal_entry_of,
        kind_of,
        kind_to_message,
        policy_of,
        policy_to_message,
        project_of,
        ref_of,
        state_of,
        version_of,
    )
    from strongroom._convert.drills import drill_of, drill_stage_of
    from strongroom._convert.keys import (
        key_entry_of,
        key_stage_of,
        retire_report_of,
        rewrap_report_of,
        rotate_report_of,
        shred_preview_of,
        shred_receipt_of,
        shredded_listing_of,
        signing_key_of,
    )
    from strongroom._convert.lineage import lineage_of
    from strongroom._convert.requests import (
        answer_of,
        answers_stream,
        moving_names,
        request_of,
        shown_fields,
    )
    from strongroom._convert.restores import (
        restore_plan_of,
        restore_receipt_of,
        restore_stage_of,
    )
    from strongroom._convert.rollbacks import version_readers_of
    from strongroom._convert.upkeep import (
        check_result_of,
        finding_of,
        object_explanation_of,
        object_use_of,
        repair_report_of,
        retention_of,
        server_info_of,
        store_finding_of,
        store_report_of,
        store_stage_of,
        sweep_stage_of,
        sweep_summary_of,
    )

__all__ = [
    "answer_of",
    "answered_version_of",
    "answers_stream",
    "approval_listing_of",
    "approval_name",
    "approval_of",
    "artifact_of",
    "backup_finding_of",
    "backup_listing_of",
    "backup_of",
    "backup_report_of",
    "backup_stage_of",
    "backup_summary_of",
    "check_result_of",
    "diff_summary_of",
    "drill_of",
    "drill_stage_of",
    "file_change_of",
    "file_of",
    "finding_of",
    "journal_entry_of",
    "key_entry_of",
    "key_stage_of",
    "kind_of",
    "kind_to_message",
    "lineage_of",
    "moving_names",
    "object_explanation_of",
    "object_use_of",
    "policy_of",
    "policy_to_message",
    "project_of",
    "ref_of",
    "repair_report_of",
    "request_of",
    "restore_plan_of",
    "restore_receipt_of",
    "restore_stage_of",
    "retention_of",
    "retire_report_of",
    "rewrap_report_of",
    "rotate_report_of",
    "server_info_of",
    "shown_fields",
    "shred_preview_of",
    "shred_receipt_of",
    "shredded_listing_of",
    "signing_key_of",
    "state_of",
    "store_finding_of",
    "store_report_of",
    "store_stage_of",
    "sweep_stage_of",
    "sweep_summary_of",
    "version_of",
    "version_readers_of",
]

#: The module of each name.
_HOMES: Final = {
    "answer_of": "requests",
    "answered_version_of": "catalog",
    "answers_stream": "requests",
    "approval_listing_of": "approvals",
    "approval_name": "approvals",
    "approval_of": "approvals",
    "artifact_of": "catalog",
    "backup_finding_of": "backups",
    "backup_listing_of": "backups",
    "backup_of": "backups",
    "backup_report_of": "backups",
    "backup_stage_of": "backups",
    "backup_summary_of": "backups",
    "check_result_of": "upkeep",
    "diff_summary_of": "catalog",
    "drill_of": "drills",
    "drill_stage_of": "drills",
    "file_change_of": "catalog",
    "file_of": "catalog",
    "finding_of": "upkeep",
    "journal_entry_of": "catalog",
    "key_entry_of": "keys",
    "key_stage_of": "keys",
    "kind_of": "catalog",
    "kind_to_message": "catalog",
    "lineage_of": "lineage",
    "moving_names": "requests",
    "object_explanation_of": "upkeep",
    "object_use_of": "upkeep",
    "policy_of": "catalog",
    "policy_to_message": "catalog",
    "project_of": "catalog",
    "ref_of": "catalog",
    "repair_report_of": "upkeep",
    "request_of": "requests",
    "restore_plan_of": "restores",
    "restore_receipt_of": "restores",
    "restore_stage_of": "restores",
    "retention_of": "upkeep",
    "retire_report_of": "keys",
    "rewrap_report_of": "keys",
    "rotate_report_of": "keys",
    "server_info_of": "upkeep",
    "shown_fields": "requests",
    "shred_preview_of": "keys",
    "shred_receipt_of": "keys",
    "shredded_listing_of": "keys",
    "signing_key_of": "keys",
    "state_of": "catalog",
    "store_finding_of": "upkeep",
    "store_report_of": "upkeep",
    "store_stage_of": "upkeep",
    "sweep_stage_of": "upkeep",
    "sweep_summary_of": "upkeep",
    "version_of": "catalog",
    "version_readers_of": "rollbacks",
}


if not TYPE_CHECKING:  # or type checkers would take every name for known

    def __getattr__(name: str) -> object:
        # Late, so that values that nobody asks for are not made.
        if name not in _HOMES:
            message = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(message)
        home = importlib.import_module(f"{__name__}.{_HOMES[name]}")
        value: object = getattr(home, name)
        globals()[name] = value
        return value
