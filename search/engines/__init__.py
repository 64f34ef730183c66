"""What engines that start workers are given; nothing is submitted here."""
