"""What a design space is, and all budget arithmetic."""
