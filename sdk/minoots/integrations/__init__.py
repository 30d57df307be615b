"""Minoots for agent frameworks: their own kinds of tools, and commands fed to their agents.

Each module needs its framework, which the extra of the same name brings:
``pip install "minoots[langchain]"``, ``"minoots[langgraph]"``, ``"minoots[autogen]"``.
"""
