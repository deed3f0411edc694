"""What the commands share: arguments, messages, output files, exit codes."""
