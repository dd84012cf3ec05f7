"""The commands of `iqa`: one module a verb, from arguments to what the terminal shows."""
