"""The subject of a check: one node's examination beside those of all nodes."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mclu_shell.cloud.doctor.distribution import Distribution, find_distribution
from mclu_shell.cloud.doctor.examination import Examination
from mclu_shell.cloud.doctor.facts import Facts
from mclu_shell.cloud.guests.survey import Survey
from mclu_shell.cloud.templates.programs import Alternatives
from mclu_shell.config import NodeConfig


class Subject(NamedTuple):
    """A node to judge. `programs` are those that templates need: alternatives, with the names of the templates."""

    own: Examination
    others: Sequence[Examination]
    survey: Survey
    programs: Mapping[Alternatives, tuple[str, ...]]

    @property
    def node(self) -> NodeConfig:
        """The node's configuration."""
        return self.own.node

    @property
    def facts(self) -> Facts | None:
        """The node's facts, if they are known."""
        return self.own.facts if isinstance(self.own.facts, Facts) else None

    @property
    def distribution(self) -> Distribution:
        """The node's distribution."""
        return find_distribution(self.facts.os_names) if self.facts else Distribution.OTHER
