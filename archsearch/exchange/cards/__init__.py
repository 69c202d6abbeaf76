"""The card beside an exported model: what it is, how well it does, how it is used."""
