# Copyright: the plumbing.socketpipe contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of the tape modules.  They have the names of the role's variables, so messages name the same variable."""

from __future__ import annotations

from typing import Any

Spec = dict[str, dict[str, Any]]

# for these, the variables of the tape host override the options of a task
OF_TAPE_HOST = (
    "tape_devices",
    "tape_changer",
    "tape_barcodes",
    "tape_next_command",
    "tape_capacity",
    "tape_encryption",
    "tape_compression",
    "tape_buffer",
    "tape_catalog_dir",
    "tape_metrics_file",
)

# all tape modules have these; module_defaults can set them for the group
SITE: Spec = {
    "tape_host": {"type": "str", "default": ""},
    "tape_host_variables": {"type": "dict", "default": {}},
    "tape_become": {"type": "bool", "default": False},
    "tape_catalog_dir": {"type": "str", "default": "/var/lib/socketpipe/tape"},
    "tape_devices": {"type": "list", "elements": "raw", "default": []},
    "tape_changer": {"type": "str", "default": ""},
    "tape_barcodes": {"type": "list", "elements": "raw", "default": []},
    "tape_next_command": {"type": "str", "default": ""},
    "tape_encryption": {"type": "dict", "default": {}},
    "tape_wait": {"type": "str", "default": "1h"},
    "tape_ports": {"type": "list", "elements": "str", "default": []},
    "tape_listen": {"type": "str", "default": "auto", "choices": ["auto", "peer", "remote"]},
    "tape_address": {"type": "list", "elements": "str", "default": []},
    "tape_connect_timeout": {"type": "int", "default": 30},
    "tape_link_encryption": {"type": "str", "default": "none", "choices": ["none", "required", "kernel", "relay"]},
}
LINES: Spec = {"tape_progress_quiet": {"type": "int", "default": 60}}
STREAM: Spec = {
    "tape_rate_limit": {"type": "str", "default": ""},
    "tape_stall_timeout": {"type": "int", "default": 0},
    **LINES,
}
COPIES: Spec = {
    "tape_catalog_hosts": {"type": "list", "elements": "str", "default": []},
    "tape_accept_catalog": {"type": "bool", "default": False},
}
METRICS: Spec = {"tape_metrics_file": {"type": "str", "default": ""}}
NOTIFY: Spec = {
    "tape_notify_command": {"type": "raw", "default": []},
    "tape_notify_on": {
        "type": "list",
        "elements": "str",
        "choices": ["success", "failure"],
        "default": ["success", "failure"],
    },
    "tape_notify_timeout": {"type": "int", "default": 30},
}
SET: Spec = {"tape_set": {"type": "str", "default": "all"}}
EXPIRY: Spec = {
    "tape_expire_last": {"type": "bool", "default": False},
    "tape_accept_clock": {"type": "bool", "default": False},
}
# these decide on which tapes a backup may write
WRITABLE: Spec = {
    "tape_reuse": {"type": "str", "default": "scratch", "choices": ["never", "scratch", "expired"]},
    "tape_labels": {"type": "list", "elements": "str", "default": ["*"]},
    "tape_capacity": {"type": "str", "default": ""},
}
REUSE: Spec = {
    **EXPIRY,
    "tape_reuse": WRITABLE["tape_reuse"],
    "tape_block_size": {"type": "str", "default": "256K"},
    "tape_compression": {"type": "bool"},
}
WRITING: Spec = {
    **SET,
    **REUSE,
    **WRITABLE,
    "tape_retention": {"type": "str", "default": "28d"},
    "tape_accept_new_machine": {"type": "bool", "default": False},
    "tape_lease": {"type": "str", "default": "1h"},
    "tape_steal": {"type": "bool", "default": False},
}

# on the host of the archive
PACKING: Spec = {
    "tape_filter": {"type": "raw", "default": []},
    "tape_recipients": {"type": "list", "elements": "str", "default": []},
}

SOURCES: Spec = {"tape_sources": {"type": "list", "elements": "raw", "default": []}}

PLAN: Spec = {
    **SITE,
    **WRITING,
    **METRICS,
    **NOTIFY,
    "hosts": {"type": "list", "elements": "raw", "required": True},
    "pattern": {"type": "str", "default": ""},
    "tape_resume": {"type": "str", "default": ""},
}
# one host of a plan
PLANNED: Spec = {
    "host": {"type": "str", "required": True},
    "tape_host": {"type": "str", "default": ""},
    "tape_set": {"type": "str"},
    "tape_level": {"type": "int", "default": 0},
    "tape_paths": {"type": "list", "elements": "str"},
    "tape_sources": {"type": "list", "elements": "raw"},
}
BACKUP: Spec = {
    **SITE,
    **SOURCES,
    **PACKING,
    **STREAM,
    **WRITING,
    "plan": {"type": "dict", "required": True},
    "tape_paths": {"type": "list", "elements": "str", "default": []},
    "tape_excludes": {"type": "list", "elements": "str", "default": []},
    "tape_exclude_files": {"type": "list", "elements": "str", "default": []},
    "tape_exclude_caches": {"type": "bool", "default": False},
    "tape_exclude_tag": {"type": "list", "elements": "str", "default": []},
    "tape_one_file_system": {"type": "bool", "default": True},
    "tape_keep_incomplete": {"type": "bool", "default": False},
    "tape_state_dir": {"type": "str", "default": "/var/lib/socketpipe/tape-state"},
    "tape_buffer": {"type": "str", "default": ""},
    "tape_reclaim": {"type": "bool", "default": False},
    "tape_estimate": {"type": "bool", "default": False},
    "tape_retries": {"type": "int", "default": 1},
    "tape_detach": {"type": "bool", "default": False},
}
FINISH: Spec = {
    **SITE,
    **WRITING,
    **COPIES,
    **METRICS,
    **NOTIFY,
    "tape_eject": {"type": "bool", "default": False},
    "tape_eject_to": {"type": "str", "choices": ["slot", "mail_slot"], "default": "slot"},
    "tape_max_age": {"type": "str", "default": ""},
    "plan": {"type": "dict", "required": True},
    "results": {"type": "list", "elements": "raw", "required": True},
}
FILTERS: Spec = {
    "tape_of_run": {"type": "str", "default": ""},
    "tape_of_tape": {"type": "str", "default": ""},
    "tape_of_host": {"type": "str", "default": ""},
}
VERIFY: Spec = {**SITE, **LINES, **COPIES, **METRICS, **FILTERS}
RESTORE: Spec = {
    **SITE,
    **SOURCES,
    **PACKING,
    **STREAM,
    **SET,
    **METRICS,
    "restore_host": {"type": "str", "default": ""},
    "restore_drill": {"type": "bool", "default": False},
    "restore_as_of": {"type": "str", "default": ""},
    "restore_paths": {"type": "list", "elements": "str", "default": []},
    "restore_to": {"type": "str", "default": ""},
    "restore_source": {"type": "str", "default": ""},
    "restore_identity": {"type": "str", "default": ""},
    "restore_delete": {"type": "bool", "default": False},
    "restore_into_existing": {"type": "bool", "default": False},
    "restore_allow_root": {"type": "bool", "default": False},
    "tape_numeric_owner": {"type": "bool", "default": True},
    "tape_early_exit": {"type": "bool", "default": False},
}
LABEL: Spec = {
    **SITE,
    **PACKING,
    **REUSE,
    **COPIES,
    **METRICS,
    "tape_label": {"type": "str", "required": True},
    "tape_device": {"type": "str", "default": ""},
    "tape_barcode": {"type": "str", "default": ""},
    "tape_overwrite": {"type": "str", "default": ""},
}
MARK: Spec = {
    **SITE,
    **COPIES,
    **METRICS,
    "tape_label": {"type": "str", "required": True},
    "tape_reason": {"type": "str", "default": ""},
    "tape_found": {"type": "bool", "default": False},
    "tape_location": {"type": "str", "default": ""},
}
INFO: Spec = {
    **SITE,
    **EXPIRY,
    "gather": {
        "type": "list",
        "elements": "str",
        "choices": ["drives", "tapes", "runs", "archives", "hosts"],
        "default": ["drives", "tapes", "runs", "archives", "hosts"],
    },
    "tape_path": {"type": "str", "default": ""},
    **FILTERS,
    "tape_max_age": {"type": "str", "default": ""},
    **WRITABLE,
    "expect": {"type": "bool", "default": False},
    "statistic": {"type": "bool", "default": False},
    "show": {"type": "bool", "default": False},
}
REPORT: Spec = {
    **SITE,
    "results": {"type": "list", "elements": "raw", "default": []},
    "registered": {"type": "list", "elements": "str", "default": []},
    "title": {"type": "str", "default": ""},
    "dest": {"type": "str", "default": ""},
    "mode": {"type": "str", "default": "0600", "choices": ["0600", "0640", "0644"]},
    "tape_report_dir": {"type": "str", "default": ""},
    "tape_report_keep": {"type": "int", "default": 30},
}
CATALOG: Spec = {
    **SITE,
    **COPIES,
    **METRICS,
    "mode": {"type": "str", "required": True, "choices": ["copy", "import", "rebuild"]},
    "tape_catalog_from": {"type": "str", "default": ""},
    "tape_copy_of": {"type": "str", "default": ""},
}
