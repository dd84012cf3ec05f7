"""Published sets by name: their own files, folders, direction, range and official split.

`catalog` says what each set looks like, `readers` opens the files that are no plain tables, `layouts` finds
files and folders as people unpack them, and `reading` makes of it all one `RawSet`.
"""

from iqa.data.scored.presets.reading import read_preset

__all__ = ["read_preset"]
