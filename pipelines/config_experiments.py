"""Writes the standard experiments as JSON files, as `iqa configs` does.

python pipelines/config_experiments.py [--output configs]
"""

import sys

from iqa.commands.main import main

if __name__ == "__main__":
    main(["configs", *sys.argv[1:]])
