"""Pictures that show one thing: copies, variants and series, told by their bytes, their looks and their names."""
