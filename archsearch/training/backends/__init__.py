"""What trains a network: one file a framework, all with the same steps (base.Steps)."""
