"""A stand-in for model servers: it speaks the wires of Ollama, OpenAI and Anthropic.

It says what a script says. For tests and for trying things out without a model. It knows nothing, and reaches
nothing.
"""

from .app import create_app
from .script import Fault, Script, Turn, load

__all__ = ["Fault", "Script", "Turn", "create_app", "load"]
