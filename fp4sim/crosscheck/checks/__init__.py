"""The checks, one a file; each offers ``CHECK``. A new one is listed in :mod:`fp4sim.crosscheck.registry`."""
