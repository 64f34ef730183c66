"""The command line: a table of commands, their options, and what each does."""
