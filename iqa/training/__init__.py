"""Training: feeds give batches, losses judge them, the loop yields a record per epoch, the folder keeps it."""
