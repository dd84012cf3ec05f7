"""Searches settings and says what to set, as `iqa tune` does.

python pipelines/tune_optuna.py --config C [--trials N]
"""

import sys

from iqa.commands.main import main

if __name__ == "__main__":
    main(["tune", *sys.argv[1:]])
