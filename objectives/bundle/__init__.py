"""The exported model: its folder, its programs, its card, and what was checked of it."""
