"""What commands do, by subject; imported when a command runs, and not for its help."""
