"""Fail where a distribution under `plugins/` is left out of the development requirements, or lacks a part."""

from __future__ import annotations

import sys
from pathlib import Path

PARTS = ("README.md", "LICENSE", "tests", ".importlinter")


def main() -> int:
    """Print what is missing; exit code 1 where anything is."""
    wanted = Path("requirements-dev.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line.partition("[")[0] for line in wanted]  # extras that tests need
    wrong = []
    for project in sorted(Path("plugins").glob("*/pyproject.toml")):
        folder = project.parent
        if f"-e ./{folder.as_posix()}" not in wanted:
            wrong.append(f"requirements-dev.txt has no line '-e ./{folder.as_posix()}'")
        wrong += [f"{folder} has no {part}" for part in PARTS if not (folder / part).exists()]
    print("\n".join(wrong), end="\n" if wrong else "", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
