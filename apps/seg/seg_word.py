"""[SEG] in a vocabulary: one id, a special word, so that no text of a user can write it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcd.apps.seg.config import SEG
from mlcd.core.language.tokens import decode_ids, encode_text, special_id

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def find_seg(tokenizer: PreTrainedTokenizerBase) -> int:
    """The one id of [SEG], made a special word where the vocabulary has it as an ordinary one.

    ValueError when the vocabulary writes it with several ids.
    """
    ids: list[int] = tokenizer(SEG, add_special_tokens=False, verbose=False)["input_ids"]
    if len(ids) != 1:
        raise ValueError(
            f"the tokenizer splits {SEG} into {len(ids)} ids, so it has no such word: take the "
            "tokenizer that the segmentation model was trained with"
        )
    if special_id(tokenizer, SEG) is None:
        _add(tokenizer)
    found = special_id(tokenizer, SEG)
    assert found == ids[0], "marking a word as special changes no id"
    return ids[0]


def add_seg(tokenizer: PreTrainedTokenizerBase) -> int:
    """The id of [SEG], which is added to a vocabulary that does not have it."""
    if len(tokenizer(SEG, add_special_tokens=False, verbose=False)["input_ids"]) != 1:
        _add(tokenizer)
    return find_seg(tokenizer)


def _add(tokenizer: PreTrainedTokenizerBase) -> None:
    from transformers import AddedToken

    tokenizer.add_special_tokens(
        {"additional_special_tokens": [AddedToken(SEG, special=True, normalized=False)]},
        replace_extra_special_tokens=False,
    )


def encode_answer(tokenizer: PreTrainedTokenizerBase, text: str, seg_id: int) -> list[int]:
    """The ids of what a model says, [SEG] as the word that it is."""
    first, *others = text.split(SEG)
    ids = encode_text(tokenizer, first)
    for other in others:
        ids += [seg_id, *encode_text(tokenizer, other)]
    return ids


def decode_answer(tokenizer: PreTrainedTokenizerBase, ids: list[int], seg_id: int) -> str:
    """What a model said, with [SEG] where it said so."""
    parts: list[list[int]] = [[]]
    for number in ids:
        if number == seg_id:
            parts.append([])
        else:
            parts[-1].append(number)
    return SEG.join(decode_ids(tokenizer, part) for part in parts).strip()
