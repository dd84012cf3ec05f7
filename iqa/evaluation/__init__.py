"""What a trained model's predictions on the test split are worth: figures, numbers and a table."""
