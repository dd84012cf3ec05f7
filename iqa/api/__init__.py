"""What the commands do, as functions: `iqa.train`, `iqa.evaluate` and the others, each with a result to look at.

A function neither prints nor configures logging unless it is asked to (`verbose=True`), and leaves the process as it
found it. The commands are these functions with a terminal around them.
"""
