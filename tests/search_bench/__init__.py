"""What a search finds, judged on recorded trainings."""
