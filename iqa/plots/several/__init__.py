"""Figures of several trainings: comparisons, repeats and studies."""
