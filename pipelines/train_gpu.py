"""Trains one experiment, as `iqa train` does.

python pipelines/train_gpu.py --config C [--resume] [--section.key value ...]
"""

import sys

from iqa.commands.main import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]])
