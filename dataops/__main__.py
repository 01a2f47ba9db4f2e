"""`python -m dataops`."""

from dataops.cli import main

if __name__ == "__main__":
    main()
