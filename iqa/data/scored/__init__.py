"""Pictures that people scored: tables, columns, joins to files, published sets, the hub."""
