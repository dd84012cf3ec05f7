"""Trained models in MLflow: logged, fetched, served, and registered under a name."""
