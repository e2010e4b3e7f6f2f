"""`python -m seats_cli` is `seats`."""

from seats_cli.main import main

main()
