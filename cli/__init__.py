"""The command line; ships as `tracker.cli`.

A command is its options, one library call, and printing. Modules of the library are imported
by the commands that use them: `tracker --help` answers before pandas would be loaded.
"""

from .main import main

__all__ = ["main"]
