"""Pictures without scores: clean ones, distorted in known ways and given a pseudo-MOS."""
