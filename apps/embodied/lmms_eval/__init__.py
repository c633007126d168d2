"""The model `mlcd` and the tasks `mlcd_openeqa` and `mlcd_robovqa` in lmms-eval's harness.

The harness finds the model through an entry point (pyproject.toml), the tasks with
`--include_path` and this folder, or both through `python -m mlcd.apps.embodied.lmms_eval`.
"""
