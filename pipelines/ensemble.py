"""Judges several experiments as one, as `iqa ensemble` does.

python pipelines/ensemble.py --experiments A B [--name N]
"""

import sys

from iqa.commands.main import main

if __name__ == "__main__":
    main(["ensemble", *sys.argv[1:]])
