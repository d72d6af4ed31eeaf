"""Print the one command line of a document's code blocks that ends as told: what CI runs is what users read."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def main(document: str, ending: str) -> int:
    """Print the line; exit code 1 where there is none, or more than one."""
    text = Path(document).read_text(encoding="utf-8")
    blocks = re.findall(r"^```(?:console|bash|sh|shell)\n(.*?)^```", text, flags=re.M | re.S)
    lines = {line.strip().removeprefix("$ ") for block in blocks for line in block.splitlines()}
    found = [line for line in lines if line.startswith("pip install ") and line.endswith(f"&& {ending}")]
    if len(found) != 1:
        print(f"{document}: {len(found)} commands 'pip install … && {ending}', one is wanted", file=sys.stderr)
        return 1
    print(found[0])
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
