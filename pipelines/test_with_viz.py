"""Judges a trained experiment on its test pictures, as `iqa evaluate` does.

python pipelines/test_with_viz.py --experiment E
"""

import sys

from iqa.commands.main import main

if __name__ == "__main__":
    main(["evaluate", *sys.argv[1:]])
