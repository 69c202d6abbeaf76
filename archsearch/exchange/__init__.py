"""What goes in and out: exported formats, latency of what is exported, networks read from files."""
