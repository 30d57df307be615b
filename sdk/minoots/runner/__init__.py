"""The local runner: resumes coding-agent sessions on this machine when a command says so.

It runs what its settings allow and nothing else, by argument list, never through a shell; what a command
brings reaches the program on standard input alone. A session counts as woken when its transcript, or its
state where the service captures it, shows a turn of the assistant after the resume.
"""

from .running import run
from .settings import RunnerSettings, load

__all__ = ["RunnerSettings", "load", "run"]
