"""Studies of settings. No other package imports optuna."""
