"""``fp4sim crosscheck``: what a GPU really does, held against fp4sim's own bits; one evidence file is the result.

A check is a record (:mod:`fp4sim.crosscheck.check`), one file each in ``checks/``. It sees the GPU only as a *device*, so
tests run every check on a simulated one, right or planted wrong.
"""
