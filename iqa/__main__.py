"""`python -m iqa VERB ...` is `iqa VERB ...`."""

from iqa.commands.main import main

if __name__ == "__main__":
    main()
