"""Ladders, hours and rotations as pure functions: no clock, no rows."""

from .hours import covers
from .ladders import Step, applies, check_ladder, steps
from .rotations import RotationFault, check_rotation, on_call, shifts

__all__ = [
    "RotationFault",
    "Step",
    "applies",
    "check_ladder",
    "check_rotation",
    "covers",
    "on_call",
    "shifts",
    "steps",
]
