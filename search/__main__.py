"""``python -m search``: the command line without its script."""

from search.main import run

if __name__ == "__main__":
    run()
