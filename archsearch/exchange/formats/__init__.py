"""What a trained network is exported as, one module a format."""
