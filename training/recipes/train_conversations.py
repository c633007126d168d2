"""Recipes `align-projector` and `tune-instructions`: a vision-language model learns conversations.

The numbers of the published runs are in `published_language.py`. Beside the model folder a run
keeps its log (`losses.jsonl`, `losses.png`, `skipped.jsonl`), its checkpoints, and with LoRA the
adapter.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from mlcd.core.language.loading import save_vlm
from mlcd.core.language.qwen2 import restore_buffers
from mlcd.core.language.stored import build_empty
from mlcd.core.language.vlm import VisionLanguageModel
from mlcd.training.conversation_loss import (
    ConversationLoss,
    freeze_parts,
    part_of,
    rate_groups,
    save_memory,
    sharding_units,
)
from mlcd.training.data.conversation_batches import ConversationBatches
from mlcd.training.data.conversation_files import ConversationSource
from mlcd.training.data.feature_cache import FeatureCache
from mlcd.training.data.feature_pass import look_at_pictures
from mlcd.training.data.samples import SampleMaker
from mlcd.training.loop import LoopSettings, run_steps
from mlcd.training.lora import add_lora, merge_lora, save_lora
from mlcd.training.progress import shown_progress
from mlcd.training.recipes.language_recipe import LanguageRecipe
from mlcd.training.recipes.language_run import begin_run, update_for

if TYPE_CHECKING:
    from accelerate import Accelerator


def train_conversations(
    recipe: LanguageRecipe,
    start: Callable[[torch.dtype], VisionLanguageModel],
    source: ConversationSource,
    output: Path,
    *,
    way: str = "ddp",
    cache: Path | None = None,
    in_order: bool = False,
    loop: LoopSettings | None = None,
    card: Mapping[str, Any] | None = None,
) -> Path | None:
    """Train, and write the model folder `output/model`; None when a signal ended the run before.

    `start` gives the model to begin with, in the precision asked for; `way` is how its weights are
    placed over the ranks (`parallel/start.py`); `cache` is a folder of what the tower, which must
    then be frozen, said of the pictures; `in_order`: conversations come in the order of the source.
    A run that was cut off goes on where it was. Called by all ranks together. ValueError when the
    folder holds another run.
    """
    placement, number_type = begin_run(recipe, way)
    accelerator = placement.accelerator
    vlm = start(number_type)
    config, tokenizer = vlm.config, vlm.tokenizer
    if tokenizer is None:
        raise ValueError(f"{vlm.name} has no tokenizer, without which there is no text to learn")
    if cache is not None and recipe.rates.tower is not None:
        raise ValueError("kept features are for a frozen tower; leave rates.tower out")
    kept = None if cache is None else FeatureCache(cache, vlm)
    if kept is not None:
        _look(vlm, source, kept, recipe, accelerator)
    data = ConversationBatches(
        source,
        SampleMaker(
            config=config,
            tokenizer=tokenizer,
            mask=recipe.mask,
            frames=recipe.frames,
            cache=kept,
        ),
        batch_size=recipe.batch_size,
        is_grouped=recipe.is_grouped,
        in_order=in_order,
        seed=recipe.seed,
    )
    freeze_parts(vlm, recipe.rates)
    if recipe.lora is not None:
        add_lora(vlm, recipe.lora)
    if recipe.recompute_blocks:
        save_memory(vlm)
    model = ConversationLoss(vlm)
    placement.spread(model, sharding_units(vlm))
    schedule = recipe.schedule_for(len(source))
    update = update_for(
        recipe,
        model,
        vlm,
        lambda taken: rate_groups(
            vlm, recipe.rates, weight_decay=recipe.weight_decay, without=taken
        ),
        placement=placement,
        schedule=schedule,
    )
    settings = recipe.settings() | {
        "start": vlm.name,
        "conversations": source.digest(),
    }
    is_done = run_steps(
        update, data, steps=schedule.steps, folder=output, settings=settings, loop=loop
    )
    if not is_done:
        return None
    weights = update.kept_weights("vlm")  # all ranks give their shares
    if accelerator.is_main_process:
        said = {"recipe": {"settings": settings, "sources": dict(recipe.sources)}, **(card or {})}
        trained = build_empty(config)
        if recipe.lora is not None:
            beside = {
                name: weights[name]
                for name, parameter in vlm.named_parameters()
                if parameter.requires_grad and part_of(name) != "language"
            }
            save_lora(weights, output / "adapter", recipe.lora, base=vlm.name, others=beside)
            add_lora(trained, recipe.lora)
        trained.load_state_dict(weights, assign=True)
        restore_buffers(trained.language, "cpu")
        merge_lora(trained)
        save_vlm(
            trained,
            output / "model",
            tokenizer=tokenizer,
            card=said,
            dtype=torch.float32 if recipe.precision == "no" else torch.bfloat16,
            overwrite=True,
        )
    accelerator.wait_for_everyone()
    return output / "model"


def _look(
    vlm: VisionLanguageModel,
    source: ConversationSource,
    kept: FeatureCache,
    recipe: LanguageRecipe,
    accelerator: Accelerator,
) -> None:
    """Have the tower look at all pictures that it has not looked at, each rank at its share."""
    vlm.tower.to(accelerator.device)
    with shown_progress(
        -(-len(source) // accelerator.num_processes),
        is_shown=accelerator.is_main_process,
    ) as tell:
        look_at_pictures(
            vlm,
            source,
            kept,
            frames=recipe.frames,
            rank=accelerator.process_index,
            ranks=accelerator.num_processes,
            on_picture=lambda done, _: tell(done, {}),
        )
    accelerator.wait_for_everyone()
