"""Trains and tests several configs and says which is really better, as `iqa compare` does.

python pipelines/compare_backbones.py --configs A B ...
"""

import sys

from iqa.commands.main import main

if __name__ == "__main__":
    main(["compare", *sys.argv[1:]])
