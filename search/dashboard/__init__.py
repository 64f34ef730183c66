"""optuna-dashboard behind doors of our own."""
