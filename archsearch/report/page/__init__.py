"""The report as one HTML page: what it shows as plain values, then charts and tables, then the file."""
