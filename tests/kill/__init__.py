"""The kill loop: the service is killed again and again under load, and an external ledger records its effects.

`python -m tests.kill --kills 60 --seed 7` prints the evidence for guarantees P1 to P4 and exits with 1 on a failure.
With `--constructs` the pipelines use every construct of the language, and people answer, cancel and decide in the
middle, which also shows P5. With `--sabotage NAME` the service is broken on purpose, and a claim must fail.
"""
