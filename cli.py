"""Runs the command line from a checkout: ``python cli.py compare …``."""

from fp4sim.cli.main import main

if __name__ == "__main__":
    main()
