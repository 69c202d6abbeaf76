"""What comes before the first trial: the checked problem, the machine, pace, forecast. Writes nothing."""
