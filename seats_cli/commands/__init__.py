"""One module per command; `seats_cli.app` finds them by themselves."""
