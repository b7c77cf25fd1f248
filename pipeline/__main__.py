"""`python -m pipeline` is the command `ringline`."""

from pipeline.cli import main

if __name__ == "__main__":
    main()
