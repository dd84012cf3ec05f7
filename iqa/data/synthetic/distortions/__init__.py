"""What can go wrong with a picture: the 25 kinds of distortion of KADID-10k, by name and level.

Written anew from the meaning of the published parameters, after H. Lin, V. Hosu and D. Saupe, "KADID-10k: A
large-scale artificially distorted IQA database", QoMEX 2019. `registry` lists kinds and levels, the other
modules hold one group each.
"""

from iqa.data.synthetic.distortions.registry import KINDS, VERSION, Kind, distort

__all__ = ["KINDS", "VERSION", "Kind", "distort"]
