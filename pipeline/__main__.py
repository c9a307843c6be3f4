"""`python -m pipeline` is `flowlog`."""

from pipeline.cli import main

if __name__ == "__main__":
    main()
