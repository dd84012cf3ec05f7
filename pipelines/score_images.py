"""Scores pictures with a trained model, as `iqa score` does.

python pipelines/score_images.py --model M --input FOLDER
"""

import sys

from iqa.commands.main import main

if __name__ == "__main__":
    main(["score", *sys.argv[1:]])
