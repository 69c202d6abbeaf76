"""What can be concluded from few noisy trainings: numbers in, numbers and words out."""
