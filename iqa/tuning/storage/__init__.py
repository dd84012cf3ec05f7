"""Where studies are kept: SQLite for one worker, a database server, a proxy or a journal file for several."""

from iqa.tuning.storage.database import Database
from iqa.tuning.storage.opening import NothingPlanned, only_planned, open_storage, quietly
from iqa.tuning.storage.signs import BEAT, SignsOfLife

__all__ = ["BEAT", "Database", "NothingPlanned", "SignsOfLife", "only_planned", "open_storage", "quietly"]
