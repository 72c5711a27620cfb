"""Loading a folder of 1,000 pipelines, and reading one of them again.

python -m tests.bench.loading [--files 1000]
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

from durable.secrets import Secrets
from triggers.config.catalogue import load_connectors
from triggers.config.folder import Folder

PIPELINE = """
triggers:
  - id: hook
    use: webhook
    with: {{path: /p{n}, verify: {{preset: github, secret: "{{{{ secrets.BENCH }}}}"}}}}
    when: "trigger.type == 'push'"
    inputs: {{number: "{{{{ trigger.body.number }}}}"}}
inputs:
  number: {{type: integer}}
defaults: {{timeout: 10s, retry: {{max_attempts: 4}}}}
steps:
  - {{id: first, use: http.get, with: {{url: "https://example.com/{n}/{{{{ inputs.number }}}}"}}, keep: {{id: "{{{{
  output.body.id }}}}"}}}} - {{id: second, if: "steps.first.output.id > {n}", use: http.post, with: {{url:
  "https://example.com", json: {{n: "{{{{ inputs.number }}}}"}}}}}} - {{id: third, use: log.write, with: {{message:
  "{{{{ steps.first.output.id }}}} of {n}"}}}}
outputs: {{id: "{{{{ steps.first.output.id }}}}"}}
"""  # a pipeline as people write it


def main(files: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        pipelines = Path(name) / "pipelines"
        pipelines.mkdir()
        for number in range(files):
            (pipelines / f"p{number}.yaml").write_text(PIPELINE.format(n=number))
        began = time.perf_counter()
        folder = Folder(Path(name), load_connectors(), Secrets({"WAYPOST_SECRET_BENCH": "x" * 20}))
        loaded = time.perf_counter() - began
        invalid = [problem for file in folder.files for problem in file.problems]
        assert not invalid, invalid[0]
        changed = pipelines / f"p{files // 2}.yaml"
        changed.write_text(changed.read_text().replace("10s", "11s"))
        began = time.perf_counter()
        (again,) = folder.serve(folder.read())
        reloaded = time.perf_counter() - began
        began = time.perf_counter()
        assert not folder.serve(folder.read())
        looked = time.perf_counter() - began
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{files} pipelines loaded in {loaded:.2f} s ({loaded / files * 1000:.2f} ms each), peak {peak:.0f} MB")
    print(f"one of them changed ({again.path.name}): read again in {reloaded * 1000:.0f} ms")
    print(f"none of them changed: {looked * 1000:.0f} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=1_000)
    main(parser.parse_args().files)
