"""Verbs that take a trained model to where others use it."""
