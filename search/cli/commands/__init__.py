"""What is typed: one file a command, named like it, with its options and its help. It knows nothing
of how a command is done.

The table in `search.cli.app` names them all; a file is imported when its command is.
"""
