"""What a machine has and lacks for a search (``search doctor``), and how long a training takes on it
(``search plan``).
"""
