"""`mlcd serve`: a vision-language model behind an address."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional, arg

from mlcd.cli.output import note
from mlcd.core.optional import require

NumberType = Literal["float32", "float16", "bfloat16"]


def main(arguments: Sequence[str]) -> None:
    """Parse the arguments of `mlcd serve` and serve."""
    tyro.cli(
        serve,
        prog="mlcd serve",
        args=arguments,
        config=(tyro.conf.FlagCreatePairsOff, tyro.conf.UseAppendAction),
    )


def serve(
    model: Annotated[str, Positional, arg(metavar="MODEL")],
    host: str = "127.0.0.1",
    port: int = 8000,
    allow_files: Annotated[tuple[Path, ...], arg(metavar="FOLDER")] = (),
    fetch_from: Annotated[tuple[str, ...], arg(metavar="HOST")] = (),
    name: str | None = None,
    device: str | None = None,
    dtype: NumberType | None = None,
    bits: Literal[4, 8] | None = None,
    max_batch: int = 8,
    max_waiting: int = 64,
    max_body_mb: int = 64,
    max_pictures: int = 64,
    max_megapixels: int = 100,
    max_new_tokens: int = 4096,
    picture_memory_mb: int = 256,
) -> None:
    """Serve a vision-language model to any client of OpenAI's chat completions.

    POST /v1/chat/completions, GET /v1/models, /health and /metrics (Prometheus). Questions that
    come at the same time are answered together. SIGTERM or Ctrl-C finishes the answers in hand.

    Args:
        model: Embedded name, model folder (ours, LLaVA-NeXT's, Transformers') or hub id.
        host: Address to listen at; others than 127.0.0.1 can be reached from other machines, and
            there is no password.
        port: Port to listen at; 0 takes any that is free.
        allow_files: Folder whose pictures requests may name by path; may be given several times.
        fetch_from: Host (with its port, if it has one) from which pictures are fetched when a
            request names their address; may be given several times.
        name: What clients call the model; the name or the folder's name when left out.
        device: cpu, cuda, ...; the CPU when left out.
        dtype: Number type of the weights; float32 on the CPU and bfloat16 on CUDA when left out.
        bits: Fewer bits for the decoder's weights.
        max_batch: Answers that are written together.
        max_waiting: Requests that may wait beyond those.
        max_body_mb: Of one request, in MiB.
        max_pictures: Of one request.
        max_megapixels: Of all pictures of one request together.
        max_new_tokens: Of one answer.
        picture_memory_mb: Memory for what was made of pictures, in MiB: one that comes again is not
            looked at again.
    """
    for module in ("fastapi", "uvicorn"):
        require(module, extra="serve")
    import torch

    from mlcd.core.language import load_vlm
    from mlcd.core.language.prompt import tokenizer_of
    from mlcd.core.language.quantize import quantize
    from mlcd.servers.app import create_app
    from mlcd.servers.chat_service import ChatService
    from mlcd.servers.limits import Limits
    from mlcd.servers.picture_sources import PictureSources
    from mlcd.servers.running import GracefulServer, bind

    limits = Limits(
        max_batch=max_batch,
        max_waiting=max_waiting,
        max_body_bytes=max_body_mb * 2**20,
        max_pictures=max_pictures,
        max_pixels=max_megapixels * 10**6,
        max_new_tokens=max_new_tokens,
    )
    sources = PictureSources(folders=allow_files, hosts=fetch_from, max_bytes=limits.max_body_bytes)
    with bind(host, port) as own:
        vlm = load_vlm(model, device=device, dtype=getattr(torch, dtype) if dtype else None)
        tokenizer_of(vlm)
        vlm = vlm if bits is None else quantize(vlm, bits)
        service = ChatService(
            vlm,
            name=name or Path(model).name or model,
            limits=limits,
            sources=sources,
            picture_memory_bytes=picture_memory_mb * 2**20,
        )
        hosts = ("127.0.0.1", "localhost", "[::1]", host) if _is_loopback(host) else None
        if hosts is None:
            note(f"listening at {host}: other machines can reach it, and there is no password")
        shown = f"[{host}]" if ":" in host else host
        note(f"{service.name} at http://{shown}:{own.getsockname()[1]}/v1")
        GracefulServer(create_app(service, hosts=hosts), service, note).run(sockets=[own])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
