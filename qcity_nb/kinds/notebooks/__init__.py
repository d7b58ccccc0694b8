"""Notebooks as jobs: papermill's contract with an engine, a client and kernels of our own.

`papermill --engine qcity in.ipynb out.ipynb` is enough; whoever runs many of them in one process gets kernels that are forked, not started.
"""
