"""What the scripts beside this folder share. Nothing in here is a script."""
