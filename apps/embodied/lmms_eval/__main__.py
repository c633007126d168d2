"""`python -m mlcd.apps.embodied.lmms_eval ARGUMENTS`: lmms-eval with our model and our tasks.

For the published commands, whose `--model llava` is answered by `mlcd`'s own code: the `llava`
package is not needed. And for lmms-eval 0.2.0, which knows no entry points.
"""

from __future__ import annotations

import runpy
import sys
from importlib import import_module

from mlcd.apps.embodied.lmms_eval.harness import task_folder
from mlcd.core.optional import require

MODULE = "mlcd.apps.embodied.lmms_eval.model"


def main() -> None:
    """Run the harness on the arguments of this process."""
    require("lmms_eval", extra="lmms-eval")
    register()
    arguments = sys.argv[1:]
    is_run = any(own.partition("=")[0] == "--tasks" for own in arguments)
    if is_run and not any(own.partition("=")[0] == "--include_path" for own in arguments):
        sys.argv += ["--include_path", str(task_folder())]
    runpy.run_module("lmms_eval", run_name="__main__", alter_sys=True)


def register() -> None:
    """Make `mlcd` known to the harness, and stand in for its `llava`."""
    models = import_module("lmms_eval.models")
    if hasattr(models, "MODEL_REGISTRY_V2"):
        manifest = import_module("lmms_eval.models.registry_v2").ModelManifest
        for name, own in (("mlcd", "Mlcd"), ("llava", "PublishedLlava")):
            models.MODEL_REGISTRY_V2.register_manifest(
                manifest(model_id=name, simple_class_path=f"{MODULE}.{own}"), overwrite=True
            )
        return
    registry = import_module("lmms_eval.api.registry").MODEL_REGISTRY  # before 0.6
    own_module = import_module(MODULE)
    registry |= {"mlcd": own_module.Mlcd, "llava": own_module.PublishedLlava}


if __name__ == "__main__":
    main()
