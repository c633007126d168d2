"""The model `mlcd` and the tasks `mlcd_openeqa` and `mlcd_robovqa` in lmms-eval's harness.

The harness finds the model through an entry point (pyproject.toml), and the tasks where
`--include_path` names the folder of applications; `python -m mlcd.apps.embodied.lmms_eval` is the
harness with both.
"""
