"""One module per command; `seats_cli.main` finds them by themselves."""
