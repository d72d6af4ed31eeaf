"""Fail on every skipped test that the list of allowed skips does not name, and on a run without tests."""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path


def skipped(report: str) -> Iterator[str]:
    """Each skipped test of a JUnit report as `module::test - reason`."""
    for case in ElementTree.parse(report).iter("testcase"):
        for skip in case.iter("skipped"):
            if skip.get("type") != "pytest.xfail":
                yield f"{case.get('classname')}::{case.get('name')} - {skip.get('message')}"


def main(allowed: str, report: str) -> int:
    """Print what was skipped without leave; exit code 1 where there is any."""
    lines = [line.strip() for line in Path(allowed).read_text(encoding="utf-8").splitlines()]
    patterns = [line for line in lines if line and not line.startswith("#")]
    wrong = [skip for skip in skipped(report) if not any(fnmatchcase(skip, pattern) for pattern in patterns)]
    for skip in wrong:
        print(f"skipped, and {allowed} does not allow it: {skip}", file=sys.stderr)
    cases = sum(1 for _ in ElementTree.parse(report).iter("testcase"))
    if not cases:
        print(f"{report} holds no test", file=sys.stderr)
    return 1 if wrong or not cases else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
