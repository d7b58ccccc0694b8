"""The small repository of `qcity demo`: a Python package with its tests and a workflow, kept as plain files. Nothing here is imported."""
