"""A trained model as a file that runs without torch: written, proven on real pictures, then put in its place."""
