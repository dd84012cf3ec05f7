"""A trained model where pictures arrive: served by MLflow's own server."""
