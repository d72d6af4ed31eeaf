"""What a cache holds, as a whole: filtered, counted, checked, exported, copied. One entry in memory at a time.

Works on whatever lists its entries (`CacheInventory`). Knows no storage, no settings and no terminal.
"""

from rollouts.inventory.checking import REPAIRED, Finding, verify
from rollouts.inventory.copying import Copied, check_apart, copy, difference
from rollouts.inventory.counting import Tally, stats
from rollouts.inventory.exporting import COLUMNS, FORMATS, rows, write, writer_of
from rollouts.inventory.filters import Filter, select
from rollouts.inventory.words import moment, parameters, parameters_text, prompt_text

__all__ = [
    "COLUMNS",
    "FORMATS",
    "REPAIRED",
    "Copied",
    "Filter",
    "Finding",
    "Tally",
    "check_apart",
    "copy",
    "difference",
    "moment",
    "parameters",
    "parameters_text",
    "prompt_text",
    "rows",
    "select",
    "stats",
    "verify",
    "write",
    "writer_of",
]
