"""Recipe `tune-seg`: a vision-language model learns to answer phrases with masks.

Beside the model folder a run keeps its log (`losses.jsonl`, `losses.png`, `skipped.jsonl`) and its
checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from mlcd.apps.seg.loading import load_seg, save_seg
from mlcd.apps.seg.model import SegmentationModel
from mlcd.apps.seg.sam import Sam
from mlcd.apps.seg.sam_files import load_sam
from mlcd.apps.seg.source import build_empty
from mlcd.apps.seg.starting import join
from mlcd.core.language.qwen2 import restore_buffers
from mlcd.training.conversation_loss import save_memory, sharding_units
from mlcd.training.data.conversation_batches import ConversationBatches
from mlcd.training.data.conversation_files import ConversationSource
from mlcd.training.data.samples import SampleMaker
from mlcd.training.loop import LoopSettings, run_steps
from mlcd.training.lora import add_lora, merge_lora
from mlcd.training.progress import shown_progress
from mlcd.training.recipes.language_run import begin_run, update_for
from mlcd.training.recipes.seg_recipe import SegRecipe
from mlcd.training.recipes.starting_vlm import relaid_vlm
from mlcd.training.seg.embedding_cache import EmbeddingCache, encode_pictures
from mlcd.training.seg.loss import SegLoss, freeze_seg, seg_rate_groups
from mlcd.training.seg.samples import SegSampleMaker


def starting_seg(
    recipe: SegRecipe,
    start: str | Path,
    sam: str | Path | None,
    *,
    dtype: torch.dtype = torch.float32,
) -> SegmentationModel:
    """What a run begins with: a vision-language model, laid out as the recipe says, and a SAM
    (original `.pth` or Transformers' folder); without a SAM `start` is a segmentation model, which
    goes on with the layout that it has.
    """
    if sam is None:
        return load_seg(start, dtype=dtype)
    vlm = relaid_vlm(recipe.language, start, dtype=dtype)
    words = recipe.words
    model = join(
        vlm,
        load_sam(sam, dtype=dtype),
        question=words.question,
        answer=words.answer,
        seed=recipe.language.seed,
    )
    model.name = f"{start} with {sam}"
    return model


def train_seg(
    recipe: SegRecipe,
    start: Callable[[torch.dtype], SegmentationModel],
    source: ConversationSource,
    output: Path,
    *,
    way: str = "ddp",
    cache: Path | None = None,
    dtype: torch.dtype | None = None,
    loop: LoopSettings | None = None,
    card: Mapping[str, Any] | None = None,
) -> Path | None:
    """Train, and write the model folder `output/model`; None when a signal ended the run before.

    `start` gives the model to begin with, in the precision asked for; `way` is how its weights are
    placed over the ranks (`parallel/start.py`); `cache` is a folder of what the SAM's encoder,
    which must then be frozen, said of the pictures; weights are written as `dtype`, float32 or
    bfloat16 as they were trained when it is left out. A run that was cut off goes on where it was.
    Called by all ranks together. ValueError when the folder holds another run.
    """
    language = recipe.language
    if cache is not None and recipe.rates.image_encoder is not None:
        raise ValueError("kept embeddings are for a frozen encoder; leave rates.image_encoder out")
    placement, number_type = begin_run(language, way)
    accelerator = placement.accelerator
    model = start(number_type)
    config, tokenizer = model.config, model.vlm.tokenizer
    assert tokenizer is not None  # `load_seg` and `join` saw to it
    kept = None if cache is None else EmbeddingCache(cache, model.sam)
    if kept is not None:
        model.sam.to(accelerator.device)
        with shown_progress(
            -(-len(source) // accelerator.num_processes), is_shown=accelerator.is_main_process
        ) as tell:
            encode_pictures(
                model.sam,
                source,
                kept,
                rank=accelerator.process_index,
                ranks=accelerator.num_processes,
                on_picture=lambda done, _: tell(done, {}),
            )
        accelerator.wait_for_everyone()
    words = SampleMaker(
        config=config.vlm, tokenizer=tokenizer, mask=language.mask, frames=language.frames
    )
    data = ConversationBatches(
        source,
        SegSampleMaker(words=words, sam=config.sam, seg_id=config.seg_id, cache=kept),
        batch_size=language.batch_size,
        is_grouped=language.is_grouped,
        seed=language.seed,
    )
    freeze_seg(model, language.rates, recipe.rates)
    if language.lora is not None:
        add_lora(model.vlm, language.lora)
    if language.recompute_blocks:
        save_memory(model.vlm)
    model.always_looks = kept is None and (
        placement.is_sharded or recipe.rates.image_encoder is not None
    )
    loss = SegLoss(model, entropy_weight=recipe.entropy_weight, dice_weight=recipe.dice_weight)
    placement.spread(loss, sharding_units(model.vlm))
    schedule = language.schedule_for(len(source))
    update = update_for(
        language,
        loss,
        model.vlm,
        lambda taken: seg_rate_groups(
            model,
            language.rates,
            recipe.rates,
            weight_decay=language.weight_decay,
            without=taken,
        ),
        placement=placement,
        schedule=schedule,
    )
    settings = recipe.settings() | {"start": model.name, "conversations": source.digest()}
    is_done = run_steps(
        update, data, steps=schedule.steps, folder=output, settings=settings, loop=loop
    )
    if not is_done:
        return None
    weights = update.kept_weights("model")  # all ranks give their shares
    if accelerator.is_main_process:
        sources = dict(language.sources) | dict(recipe.sources)
        trained = build_empty(config)
        trained.sam = Sam(config.sam)
        if language.lora is not None:
            add_lora(trained.vlm, language.lora)
        trained.load_state_dict(weights, assign=True)
        restore_buffers(trained.vlm.language, "cpu")
        if language.lora is not None:
            merge_lora(trained.vlm)
        trained.vlm.tokenizer = tokenizer
        save_seg(
            trained,
            output / "model",
            card={"recipe": {"settings": settings, "sources": sources}, **(card or {})},
            dtype=dtype or (torch.float32 if language.precision == "no" else torch.bfloat16),
            overwrite=True,
        )
    accelerator.wait_for_everyone()
    return output / "model"
