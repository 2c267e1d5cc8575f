"""`python -m hptoolkit` lists the commands."""

from __future__ import annotations

COMMANDS = {
    "study": "search good hyperparameters, and go on where an earlier run stopped",
    "lr_range": "find the bounds of the learning rate in one short run",
    "report": "draw what a study found on one page, and run slices of it",
    "proxy": "serve a database to many workers by one connection",
}


def main() -> None:
    """Print the commands, a line each."""
    print("hptoolkit: tune neural networks in the invariant coordinates of SGD.\n")
    for name, purpose in COMMANDS.items():
        print(f"  python -m hptoolkit.{name:<10} {purpose}")
    print("\nEach has --help. The first to try: python -m hptoolkit.study --sampler coord")


if __name__ == "__main__":
    main()
