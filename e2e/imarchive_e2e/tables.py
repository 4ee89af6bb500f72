"""What `kubectl get` prints, row by row."""

import re

Row = dict[str, str]


def tables(text: str) -> list[list[Row]]:
    """Each table's rows, by the titles of the columns; a cell may be empty."""
    return [rows(part.splitlines()) for part in text.strip().split("\n\n")]


def rows(lines: list[str]) -> list[Row]:
    titles = list(re.finditer(r"\S+", lines[0]))
    ends = [*(title.start() for title in titles[1:]), None]
    return [
        {title.group(): line[title.start() : end].strip() for title, end in zip(titles, ends, strict=True)}
        for line in lines[1:]
    ]
