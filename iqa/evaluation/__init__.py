"""What a trained model's predictions are worth: metrics, breakdowns, layouts and comparisons, as plain numbers."""
