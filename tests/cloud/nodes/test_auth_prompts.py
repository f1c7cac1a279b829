from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from mclu_shell.cloud.concurrency.fanout import gather
from mclu_shell.cloud.nodes.auth_prompts import retry_after_prompts
from mclu_shell.cloud.nodes.node import Node
from mclu_shell.cloud.state.snapshot import Phase
from mclu_shell.config import NodeConfig
from mclu_shell.errors import InvalidReply, MCluError, NodeOff, PromptRequired, Question

if TYPE_CHECKING:
    from mclu_shell.cloud.transport.base import Transport


@dataclass(frozen=True)
class Door:
    """A stand-in for a node: its name, and the password that opens it; some share a password."""

    name: str
    lock: str = ""


class House:
    """Doors that open after the right reply to a prompt."""

    def __init__(self, *doors: Door, is_secret: bool = True) -> None:
        self.doors = doors
        self.open = {""}
        self.is_secret = is_secret
        self.questions: list[str] = []

    def enter(self, door: Node) -> str:
        lock = cast("Door", door).lock
        if lock == "off":
            raise NodeOff(door.name)
        if lock not in self.open:

            def answer(reply: str) -> bool:
                if lock == "lost":
                    raise MCluError("no place for it")
                if reply == "?":
                    raise InvalidReply("that is no word")
                if reply == lock:
                    self.open.add(lock)
                return reply == lock

            raise PromptRequired(
                "locked", Question(f"word for {lock}: ", answer, self.is_secret), place=door.name, remedy=""
            )
        return f"in {door.name}"

    def visit(self, person: Callable[[str], str | None], others: Sequence[Node] = ()) -> list[str]:
        def asker(question: Question) -> str | None:
            self.questions.append(question.text)
            return person(question.text)

        nodes = [cast("Node", door) for door in self.doors]
        outcomes = retry_after_prompts(gather(nodes, self.enter), self.enter, asker, others)
        return [outcome.value or str(outcome.error) for outcome in outcomes]


def test_one_reply_may_open_several_nodes_and_does_not_affect_the_others() -> None:
    house = House(Door("a", "red"), Door("b"), Door("c", "red"), Door("d", "off"), Door("e", "blue"))
    words = {"word for red: ": "red", "word for blue: ": "blue"}
    assert house.visit(words.get) == ["in a", "in b", "in c", "d: is off; run 'on d'", "in e"]
    assert house.questions == ["word for red: ", "word for blue: "]


def test_no_reply_ends_the_prompts_for_that_password() -> None:
    house = House(Door("a", "red"), Door("b", "red"), Door("c", "blue"))
    assert house.visit(lambda text: None if "red" in text else "blue") == ["a: locked", "b: locked", "in c"]
    assert house.questions == ["word for red: ", "word for blue: "]


def test_a_password_has_three_attempts() -> None:
    replies = iter(["rde", "erd", "red"])
    assert House(Door("a", "red")).visit(lambda _text: next(replies)) == ["in a"]
    wrong = House(Door("a", "red"))
    assert wrong.visit(lambda _text: "wrong") == ["a: locked"]
    assert len(wrong.questions) == 3


def test_a_repeated_prompt_shows_the_reason() -> None:
    replies = iter(["rde", "red"])
    house = House(Door("a", "red"))
    assert house.visit(lambda _text: next(replies)) == ["in a"]
    assert house.questions == ["word for red: ", "That was wrong.\nword for red: "]
    house = House(Door("a", "red"), is_secret=False)
    replies = iter(["?", "red"])
    assert house.visit(lambda _text: next(replies)) == ["in a"]
    assert house.questions == ["word for red: ", "that is no word\nword for red: "]
    house = House(Door("a", "red"), is_secret=False)
    assert house.visit(lambda _text: "?") == ["a: locked"]
    assert len(house.questions) == 3


def test_faulty_nodes_are_polled_again_after_a_right_reply() -> None:
    others = [Node(NodeConfig(f"n{i}"), cast("Transport", None)) for i in range(3)]
    others[0].store.set_state(Phase.FAULTY, "ssh: permission denied")
    others[1].store.set_state(Phase.OFF)
    house = House(Door("a", "red"))
    house.visit(lambda _text: "wrong", others)
    assert [node.poll_request.is_set() for node in others] == [False, False, False]
    house.visit(lambda _text: "red", others)
    assert [node.poll_request.is_set() for node in others] == [True, False, False]


def test_a_question_that_is_not_secret_is_asked_once() -> None:
    house = House(Door("a", "red"), is_secret=False)
    assert house.visit(lambda _text: "no") == ["a: locked"]
    assert len(house.questions) == 1


def test_a_reply_that_cannot_be_stored_fails_only_the_nodes_that_it_was_for() -> None:
    house = House(Door("a", "lost"), Door("b"), Door("c", "red"), Door("d", "lost"))
    assert house.visit(lambda _text: "red") == ["no place for it", "in b", "in c", "no place for it"]
    assert house.questions == ["word for lost: ", "word for red: "]
