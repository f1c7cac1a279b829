import pytest

from mclu_shell.cloud.nodes.power_refusal import power_off_refusal
from mclu_shell.cloud.state.guest import Guest


def guest(name: str, state: str, reason: str = "") -> Guest:
    return Guest("ham0", name, name, state, 1 << 30, 1, reason=reason)


def refusal(*guests: Guest) -> str:
    """Return the error as users see it, without its first words."""
    error = power_off_refusal("ham0", guests)
    assert error is not None
    return str(error).removeprefix("ham0: cannot switch off: ")


@pytest.mark.parametrize(
    ("state", "reason", "text"),
    [
        ("running", "", "is running; shut it down or destroy it first"),
        (
            "crashed",
            "panicked",
            "is crashed (panicked) and still in memory; run 'shutdown --force ham0:db' to stop it, or destroy it first",
        ),
        (
            "paused",
            "I/O error",
            "is paused (I/O error) and still in memory; "
            "run 'start ham0:db' to resume it and shut it down, or 'shutdown --force ham0:db' to stop it",
        ),
        (
            "pmsuspended",
            "",
            "is pmsuspended and still in memory; "
            "run 'start ham0:db' to wake it and shut it down, or 'shutdown --force ham0:db' to stop it",
        ),
        (
            "paused",
            "saving",
            "is paused (saving) and still in memory; retry when that is done",
        ),
        (
            "in shutdown",
            "",
            "is in shutdown and still in memory; retry when that is done",
        ),
    ],
)
def test_one_guest_gets_its_own_remedy(state: str, reason: str, text: str) -> None:
    assert refusal(guest("db", state, reason), guest("off", "shut off", "saved")) == f"guest db {text}"


def test_guests_in_the_same_state_share_its_text() -> None:
    def both(*condition: str) -> str:
        return refusal(guest("db", *condition), guest("web", *condition)).removeprefix("guests db and web are ")

    assert both("running") == "running; shut them down or destroy them first"
    assert both("crashed", "panicked") == (
        "crashed (panicked) and still in memory; use 'shutdown --force' to stop them, or destroy them first"
    )
    assert both("paused") == (
        "paused and still in memory; run 'start' and shut them down, or use 'shutdown --force' to stop them"
    )


def test_guests_in_different_states_are_listed_with_them() -> None:
    mixed = refusal(guest("db", "crashed", "panicked"), guest("mail", "pmsuspended"), guest("web", "running"))
    assert mixed == (
        "guests db (crashed, panicked), mail (pmsuspended) and web (running) are still in memory; "
        "shut them down (those that do not run need 'start' first, or '--force') or destroy them"
    )
    stuck = refusal(guest("db", "crashed"), guest("web", "running"))
    assert stuck == (
        "guests db (crashed) and web (running) are still in memory; "
        "shut them down (those that do not run need '--force') or destroy them"
    )
    wakeable = refusal(guest("db", "paused", "I/O error"), guest("mail", "pmsuspended"))
    assert wakeable == (
        "guests db (paused, I/O error) and mail (pmsuspended) are still in memory; "
        "run 'start' and shut them down, or use 'shutdown --force' to stop them"
    )


def test_five_guests_are_listed() -> None:
    guests = [guest(f"g{i}", "running") for i in range(7)]
    assert power_off_refusal("ham0", [guest("g0", "shut off")]) is None
    assert [refusal(*guests[:count]).partition(";")[0] for count in (3, 7)] == [
        "guests g0, g1 and g2 are running",
        "guests g0, g1, g2, g3, g4 and 2 more are running",
    ]
