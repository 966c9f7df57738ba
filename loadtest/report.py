from __future__ import annotations
from pathlib import Path
from typing import Any
from loadtest.rows import Rows
def save(result: dict[str, Any], rows: Rows, folder: Path) -> None:
    pass
