"""The cost of attacks on expressions: `python -m tests.bench.attacks`."""

from tests.language.test_sandbox import BOMBS, ESCAPES, large_scope, measure


def main() -> None:
    scope = large_scope()
    measured = [(*measure(text, scope), text) for text in (*ESCAPES, *BOMBS)]
    stopped = sum(is_refused for _, _, is_refused, _ in measured)
    seconds, _, _, slowest = max(measured)
    memory, largest = max((memory, text) for _, memory, _, text in measured)
    print(f"attacks stopped / tried: {stopped} / {len(measured)}")
    print(f"slowest: {seconds:.2f} s, {slowest[:60]}")
    print(f"largest: {memory / 1e6:.0f} MB, {largest[:60]}")


if __name__ == "__main__":
    main()
