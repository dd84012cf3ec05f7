"""What is to be known of a set of pictures before it is trained on: copies and series, splits, files, scores."""
