"""``python -m fp4sim``: the command line."""

from fp4sim.cli.main import main

if __name__ == "__main__":
    main()
