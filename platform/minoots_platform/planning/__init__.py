"""What a plan's nodes ask of one another, as pure functions: no clock, no rows.

`check` refuses graphs that cannot be carried out, `decide` says what follows from what has ended, `draw`
shows it.
"""

from .checking import PlanFault, check
from .deciding import Decision, Node, Verdict, decide
from .drawing import Drawn, draw
from .filling import fill

__all__ = ["Decision", "Drawn", "Node", "PlanFault", "Verdict", "check", "decide", "draw", "fill"]
