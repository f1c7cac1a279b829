from pathlib import Path
from typing import get_type_hints

import pytest

from mclu_shell.cloud.dryrun.planned import Planned
from mclu_shell.cloud.state.guest import Guest
from mclu_shell.errors import ConfigError, Interrupted, MCluError, NodeOff, UsageError
from mclu_shell.output.schema.error import Error, error_record
from mclu_shell.output.schema.guest import guest_record
from mclu_shell.output.schema.guest_changes import Changed, changed_record
from mclu_shell.output.schema.planned import PlannedRecord, planned_record, with_position
from mclu_shell.output.schema.power import Power
from mclu_shell.output.schema.record import iso_time, position
from mclu_shell.output.schema.template import broken_template_record


def test_times_are_iso_8601_in_utc() -> None:
    assert iso_time(1_790_000_000.9) == "2026-09-21T14:13:20Z"
    assert iso_time(None) is None


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("x.mclu:12", ("x.mclu", 12)),
        ("a:b.mclu:3", ("a:b.mclu", 3)),
        ("a\nb.mclu:3", ("a\nb.mclu", 3)),
        ("line 2", (None, 2)),
        ("x.mclu", (None, None)),
        ("ham0", (None, None)),
        ("", (None, None)),
    ],
)
def test_a_place_has_a_file_and_a_line(place: str, expected: tuple[str | None, int | None]) -> None:
    assert position(place) == expected


@pytest.mark.parametrize(
    ("error", "place", "record"),
    [
        (NodeOff("ham1"), "", Error("node-off", "ham1", "is off", "run 'on ham1'", 1)),
        # The position of the command in its script, not of the fault.
        (NodeOff("ham1"), "x.mclu:3", Error("node-off", "ham1", "is off", "run 'on ham1'", 1, "x.mclu", 3)),
        (MCluError("no node is on"), "", Error("failed", None, "no node is on", None, 1)),
        # The place of a node is no position, even if it looks like one.
        (MCluError("failed", place="ham0:1"), "", Error("failed", "ham0:1", "failed", None, 1)),
        (UsageError("bad", place="x.mclu:4"), "", Error("usage", "x.mclu:4", "bad", None, 2, "x.mclu", 4)),
        (ConfigError("bad", place="m.conf:4"), "", Error("config", "m.conf:4", "bad", None, 2, "m.conf", 4)),
        (ConfigError("no nodes", place="m.conf"), "", Error("config", "m.conf", "no nodes", None, 2, "m.conf")),
        (Interrupted("interrupted"), "line 2", Error("interrupted", None, "interrupted", None, 130, None, 2)),
    ],
)
def test_an_error_has_its_code_its_status_and_its_position(error: MCluError, place: str, record: Error) -> None:
    assert error_record(error, place) == record


def test_only_cached_guests_have_a_time() -> None:
    guest = Guest("ham0", "web", "u", "running", 1 << 30, 2, ("192.0.2.1",))
    record = guest_record(guest)
    assert (record.node, record.name, record.uuid, record.state) == ("ham0", "web", "u", "running")
    assert (record.memory_bytes, record.vcpus, record.addresses, record.as_of) == (1 << 30, 2, ("192.0.2.1",), None)
    assert guest_record(guest, 0.0).as_of == "1970-01-01T00:00:00Z"


@pytest.mark.parametrize("text", ["started", "resumed", "shut down", "stopped by force", "reboot requested", "reset"])
def test_the_value_of_a_change_is_a_documented_one(text: str) -> None:
    (documented,) = get_type_hints(Changed, include_extras=True)["change"].__metadata__
    assert f"`{changed_record('ham0', 'web', text).change}`" in documented


def test_unknown_parts_of_a_plan_are_null() -> None:
    record = planned_record(Planned("wake", "ham1", mac="m"))
    assert (record.verb, record.node, record.mac) == ("wake", "ham1", "m")
    assert {record.guest, record.how, record.path, record.accel, record.accel_reason} == {None}


def test_a_plan_has_the_files_that_a_destroy_deletes_and_keeps() -> None:
    record = planned_record(Planned("destroy", "ham0", "web", delete=(("/a", 5),), keep=(("/b", "is shared"),)))
    assert [(file.path, file.size_bytes) for file in record.deleted] == [("/a", 5)]
    assert [(file.path, file.reason) for file in record.kept] == [("/b", "is shared")]


@pytest.mark.parametrize(
    ("place", "expected"), [("x.mclu:7", ("x.mclu", 7)), ("line 7", (None, 7)), ("", (None, None))]
)
def test_a_plan_has_the_position_of_its_command(place: str, expected: tuple[str | None, int | None]) -> None:
    record = with_position(lambda: planned_record(Planned("wake", "ham1")), place)
    assert isinstance(record, PlannedRecord)
    assert (record.file, record.line) == expected


def test_other_records_have_no_position() -> None:
    assert with_position(lambda: Power("ham0", "on"), "x.mclu:7") == Power("ham0", "on")


def test_a_broken_template_has_only_its_name_and_path() -> None:
    record = broken_template_record("x", Path("/t/x.template"))
    assert (record.name, record.path, record.is_broken, record.base_image) == ("x", "/t/x.template", True, None)
