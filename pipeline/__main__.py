"""`python -m pipeline` is `flowlog`."""

from pipeline.cli import process

if __name__ == "__main__":
    process()
