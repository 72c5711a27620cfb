"""What the process that commands are forked from imports: every module that a command imports."""

import gc

from durable.lazy import load_module
from triggers.cli import COMMANDS, load_command

for name in COMMANDS:
    load_command(name)
for module in ("commands.env_files", "commands.explain", "commands.own_service", "reading.offline"):
    load_module(f"triggers.{module}")
gc.freeze()  # a collection in a child would copy the pages that it shares with this process
