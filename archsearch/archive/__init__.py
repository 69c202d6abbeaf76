"""What a study remembers: its values, the storage, the folder, the leaderboard read from them."""
