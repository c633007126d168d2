"""Every test runs on toy sizes, without network, on as many threads as it can count on."""

from __future__ import annotations

import os
import signal

# Before anything imports torch or huggingface_hub. One thread is faster than two for toy sizes,
# and gives the same sums on every machine.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
for _library in ("OMP", "MKL", "OPENBLAS"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

# A shell starts what it puts into the background deaf to Ctrl-C, and children inherit that: the
# tests that interrupt a process would wait in vain.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
