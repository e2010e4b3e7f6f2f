"""The command line. One file per command in `commands`; nothing heavy is imported before a command needs it."""
