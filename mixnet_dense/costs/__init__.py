"""What networks cost, and the costs that the papers print."""
