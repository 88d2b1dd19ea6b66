"""JSON on one line, as the journal and the output hold it."""

import json
from typing import Any


def one_line_of(value: Any) -> str:
    """*value* as JSON that can be written as UTF-8, whatever text is in it."""
    line = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        line.encode()
    except UnicodeEncodeError:  # half of a character, which JSON can hold and UTF-8 cannot
        return json.dumps(value, separators=(",", ":"))
    return line
