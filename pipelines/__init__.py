"""The entry points of `mlflow run`, each a short script: parse, call iqa, report."""
