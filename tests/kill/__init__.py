"""The kill loop: the service is killed again and again under load, and a ledger outside tells what it did.

`python -m tests.kill --kills 60 --seed 7` prints the evidence for promises P1 to P4 and exits with 1 if a claim fails.
With `--constructs` the pipelines are of every construct of the language, and people answer, cancel and decide in the
middle: that proves P5 too. With `--sabotage NAME` the service is broken on purpose, and a claim has to fail.
"""
