"""Tables as text: what parts their columns, quoted cells, and the line that each row begins in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from iqa.data.scored.cells import MOST, NUMBER, Sheet, is_decimal, is_number, is_picture, share, shown
from iqa.data.store.pictures import SUFFIXES
from iqa.errors import UserError

#: What may part columns, and what it is called; of two that do equally well the first one is taken.
DELIMITERS = {"\t": "tab", ";": "semicolon", ",": "comma", "|": "pipe", " ": "white space", "=": "equals sign",
              ":": "colon"}  # fmt: skip
#: These are in names as well: they part columns only where that leaves numbers.
RARE = ("=", ":")
SAMPLE_ROWS = 200
_PICTURE = "|".join(re.escape(suffix) for suffix in SUFFIXES)
#: A name with spaces in it and at most one number, in either order, where white space parts columns.
_NAME_WITH_SPACES = re.compile(
    rf"(?:(?P<before>{NUMBER.pattern}|\d+,\d+)\s+)?(?P<name>(?:(?!(?:{_PICTURE})\s).)+(?:{_PICTURE}))"
    rf"(?:\s+(?P<after>{NUMBER.pattern}|\d+,\d+))?",
    re.IGNORECASE,
)
#: A name and a number with something between them that is no known delimiter.
_PARTED_BY = re.compile(
    rf".+?(?:{_PICTURE})\s*(?P<by>[^\w\s./\\\"'()\[\]-][^\w\s./\\\"'+]*|->|=>)\s*{NUMBER.pattern}.*"
    rf"|[^~^#&!@*§¦，；、：>]+?\s*(?P<mark>[~^#&!@*§¦，；、：>]+|->|=>)\s*{NUMBER.pattern}",
    re.IGNORECASE,
)
_QUOTED_BODY = re.compile(r'[^"]*(?:""[^"]*)*')


class _Fault(Exception):
    """Quotes that do not pair: where they open, and what is wrong with them."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line, self.what = line, what


@dataclass(frozen=True, slots=True)
class _Record:
    """A row: its first and last line, and its cells."""

    line: int
    last: int
    cells: list[str]


def read_text(path: Path, data: bytes) -> Sheet:
    """The rows of a table in UTF-8, or in UTF-16 with its mark.

    Raises:
        UserError: it is in another encoding or no text, quotes do not pair or swallow rows, or an unknown
            delimiter parts its columns.
    """
    text = re.sub(r"\r\n?", "\n", _decoded(path, data))
    first = re.match(r'"?sep=(.)"?\n', text)  # a word from Excel to itself
    if first:
        text = "\n" + text[first.end() :]
    delimiter = first[1] if first else _delimiter(text)
    parted = DELIMITERS.get(delimiter or "", repr(delimiter))
    if delimiter is None or delimiter == " ":
        sheet = _split_at_spaces(text)
        if max(map(len, sheet.rows), default=0) == 1:
            _refuse_unknown_delimiter(path, sheet)
        return sheet
    try:
        records = [record for record in _records(text, delimiter) if any(record.cells)]
    except _Fault as fault:
        raise UserError(
            f"{path}, line {fault.line}: {fault.what}",
            expected="quotes in pairs, around whole cells",
            fix=f'in line {fault.line} remove the quote, or write it twice inside a quoted cell: "5"" wide"',
        ) from fault
    _refuse_swallowed(path, text.split("\n"), records, delimiter)
    return Sheet([list(record.cells) for record in records], [record.line for record in records], "line", parted)


def _decoded(path: Path, data: bytes) -> str:
    try:
        text = data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path} is no table in UTF-8", got=f"line {line}: {error}", fix="save it as CSV in UTF-8, or as xlsx"
        ) from error
    if "\0" in text:
        raise UserError(
            f"{path} is no text", expected="a CSV, TSV, parquet or xlsx file", fix="save it as CSV in UTF-8, or as xlsx"
        )
    return text


def _records(text: str, delimiter: str) -> Iterator[_Record]:
    """Rows of cells without spaces around them; a cell in quotes may hold delimiters and ends of lines."""
    place, line, size = 0, 1, len(text)
    while place < size:
        end = text.find("\n", place)
        end = size if end < 0 else end
        if '"' not in text[place:end]:
            yield _Record(line, line, [cell.strip() for cell in text[place:end].split(delimiter)])
            place, line = end + 1, line + 1
            continue
        cells, first = [], line
        more = True
        while more:
            cell, place, lines, more = _cell(text, place, delimiter, line)
            cells.append(cell)
            line += lines
        yield _Record(first, line, cells)
        line += 1


def _cell(text: str, place: int, delimiter: str, line: int) -> tuple[str, int, int, bool]:
    """The cell at a place, where the next one begins, the ends of lines in it, and whether its row goes on."""
    start = place
    while start < len(text) and text[start] == " ":
        start += 1
    if not text.startswith('"', start):
        ends = [found for mark in (delimiter, "\n") if (found := text.find(mark, place)) >= 0]
        end = min(ends, default=len(text))
        return text[place:end].strip(), end + 1, 0, text[end : end + 1] == delimiter
    body = _QUOTED_BODY.match(text, start + 1)
    assert body is not None  # it fits nothing at all, too
    lines = body.group().count("\n")
    end = body.end()
    if end >= len(text):
        raise _Fault(line, "a quote opens here and never closes")
    end += 1
    while end < len(text) and text[end] == " " and delimiter != " ":
        end += 1
    if end < len(text) and text[end] not in (delimiter, "\n"):
        where = "" if not lines else f" in line {line + lines}"
        raise _Fault(line, f"a quote opens here and closes{where} before the end of a cell")
    return body.group().replace('""', '"').strip(), end + 1, lines, text[end : end + 1] == delimiter


def _refuse_swallowed(path: Path, lines: Sequence[str], records: Sequence[_Record], delimiter: str) -> None:
    """A cell over several lines is text, unless these lines look like rows of the table themselves."""
    long = [record for record in records if record.last > record.line]
    if not long:
        return
    width = Counter(len(record.cells) for record in records).most_common(1)[0][0]
    columns = list(zip(*(record.cells for record in records if len(record.cells) == width), strict=True))
    rules = {
        place: rule
        for place, cells in enumerate(columns)
        for rule in (is_picture, is_number)
        if share(cells, rule) >= 0.5
    }
    for record in long if rules else ():
        for number in range(record.line, record.last):
            cells = [cell.strip(' "') for cell in lines[number].split(delimiter)]
            if len(cells) == width and all(rule(cells[place]) for place, rule in rules.items()):
                raise UserError(
                    f"{path}, line {record.line}: a quote opens here and swallows rows",
                    got=f"one cell up to line {record.last}; line {number + 1} in it looks like a row: "
                    f"{shown(lines[number])}",
                    expected="quotes in pairs, around whole cells",
                    fix=f'in line {record.line} remove the quote, or write it twice inside a quoted cell: "5"" wide"',
                )


def _delimiter(text: str) -> str | None:
    """The delimiter that most often leaves a picture or a number, then the one that parts most rows."""
    best, most = None, (0, 0)
    head = "\n".join(text.split("\n", SAMPLE_ROWS)[:SAMPLE_ROWS])
    for delimiter in DELIMITERS:
        sample = _sample(head, delimiter)
        parted = [row for row in sample if len(row) > 1]
        pictures = sum(any(map(is_picture, row)) for row in parted)
        numbers = sum(any(is_number(cell) or (delimiter != "," and is_decimal(cell)) for cell in row) for row in parted)
        found = (pictures + numbers, len(parted))
        if delimiter in RARE and 2 * numbers < len(sample):
            continue
        if delimiter == "," and _only_decimals(head, sample):
            continue
        if parted and 2 * len(parted) >= len(sample) and found > most:
            best, most = delimiter, found
    return best


def _sample(head: str, delimiter: str) -> list[list[str]]:
    """Cells of each line; quotes are not looked at, since they may not pair."""
    lines = [line for line in head.split("\n") if line.strip()]
    return [[cell.strip(' "') for cell in line.split(None if delimiter == " " else delimiter)] for line in lines]


def _only_decimals(head: str, parted: Sequence[Sequence[str]]) -> bool:
    """Whether commas are in numbers alone, and white space parts all rows into as many cells."""
    widths = {len(line.split()) for line in head.split("\n") if line.strip()}
    return bool(parted) and len(widths) == 1 and min(widths) > 1 and re.search(r"(?<!\d),|,(?!\d)", head) is None


def _split_at_spaces(text: str) -> Sheet:
    """Columns parted by white space; where that gives rows of different length, names hold spaces themselves."""
    lines = [(number, line.strip()) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    numbers = [number for number, _ in lines]
    matches = [_NAME_WITH_SPACES.fullmatch(line) for _, line in lines]
    names = [match is not None and match["before"] is None and match["after"] is None for match in matches]
    if names and all(names[1:]) and (names[0] or (len(names) > 1 and len(lines[0][1].split()) == 1)):
        return Sheet([[line] for _, line in lines], numbers, "line", "one column")
    rows: list[list[object]] = [
        [quoted or bare for quoted, bare in re.findall(r'"([^"]*)"(?=\s|$)|(\S+)', line)] for _, line in lines
    ]
    if len({len(row) for row in rows}) > 1:
        for place, match in enumerate(matches):
            if match and (match["before"] is None) != (match["after"] is None):
                cells = (match["before"], match["name"], match["after"])
                rows[place] = [cell for cell in cells if cell is not None]
    parted = "white space" if any(len(row) > 1 for row in rows) else "one column"
    return Sheet(rows, numbers, "line", parted)


def _refuse_unknown_delimiter(path: Path, sheet: Sheet) -> None:
    lines = [str(row[0]) for row in sheet.rows]
    marks: Counter[str] = Counter()
    for line in lines[:SAMPLE_ROWS]:
        match = None if is_picture(line) else _PARTED_BY.fullmatch(line)
        if match:
            marks[(match["by"] or match["mark"] or "").strip()] += 1
    if marks and sum(marks.values()) > (1 - MOST) + len(lines[:SAMPLE_ROWS]) / 2:
        mark = marks.most_common(1)[0][0]
        raise UserError(
            f"{path} parts its columns by an unknown delimiter",
            got=f"{mark!r}, as in line {sheet.lines[-1]}: {shown(lines[-1])}",
            expected=f"{', '.join(DELIMITERS.values())}",
            fix="save the table with commas or tabs between columns",
        )
