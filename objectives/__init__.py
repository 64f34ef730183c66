"""How one config becomes a score: data, networks, losses, training, evaluation. Knows no Optuna and
no database.
"""
