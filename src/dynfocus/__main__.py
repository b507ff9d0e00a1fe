"""`python -m dynfocus`: the command line, as `torchrun` starts it."""

from dynfocus.cli import main

if __name__ == "__main__":
    main()
