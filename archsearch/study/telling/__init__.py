"""What a tracker is told of a study's networks, and of its winner as a model."""
