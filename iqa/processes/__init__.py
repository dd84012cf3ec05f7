"""Processes: what of the processor this one may use, how to tell it from all others, and whether one still lives."""

from iqa.processes.identity import Silence, beating, is_alive, is_here, this_process
from iqa.processes.spinning import set_spinning
from iqa.processes.threads import GIVEN_BACK_FROM, MAPPED_FROM, cores, in_threads

__all__ = [
    "GIVEN_BACK_FROM",
    "MAPPED_FROM",
    "Silence",
    "beating",
    "cores",
    "in_threads",
    "is_alive",
    "is_here",
    "set_spinning",
    "this_process",
]
