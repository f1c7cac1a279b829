"""The one place that turns an error in reading a node's answer into the node's fault."""

import contextlib
from collections.abc import Iterator

from mclu_shell.errors import Defect, InvalidAnswer, MCluError, Unreachable
from mclu_shell.parsing.limits import InvalidData
from mclu_shell.system_faults import SystemFault, log_error, system_fault

_LONGEST_REASON = 200
_REMEDY = "run mclu with -v for details; check libvirt and the shell there"


@contextlib.contextmanager
def answer_of(node: str) -> Iterator[None]:
    """Raise only errors for the user from the block, which queries a node and reads its answer.

    Everything in an answer is the node's choice. An error of any library that the answer causes is a fault of this
    node, and must affect neither other nodes nor the thread.
    """
    try:
        yield
    except SystemFault as error:
        raise _unreachable(node, error) from error
    except InvalidData as error:
        raise InvalidAnswer(f"cannot read its answer: {error.fact}", place=node, remedy=_REMEDY) from error
    except (MCluError, Defect):
        raise
    except Exception as error:
        # A name that is not UTF-8 is no fault of this machine's locale.
        fault = None if isinstance(error, UnicodeError) else system_fault(error)
        if fault is not None:
            raise _unreachable(node, fault) from error
        log_error(f"{node}: invalid answer", error)
        reason = f"{type(error).__name__}: {error}"[:_LONGEST_REASON]
        raise InvalidAnswer(f"cannot read its answer: {reason}", place=node, remedy=_REMEDY) from error


def _unreachable(node: str, fault: SystemFault) -> Unreachable:
    """Return the fault of this machine, such as too many open files, as one of the node."""
    fact = f"{fault.place}: {fault.fact}" if fault.place else fault.fact
    return Unreachable(fact, place=node, remedy=fault.remedy)
