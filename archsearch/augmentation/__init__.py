"""What is done to training images so that a network sees each of them differently every time."""
