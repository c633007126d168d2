"""Where the weights of a run are: a copy on every rank (DDP), or shares of them (FSDP2, ZeRO).

The settings of each way are a file beside this one, `ddp.json` and so on: `start.py` reads them, or
others of the same form.
"""
