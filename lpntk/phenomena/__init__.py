"""One room for each question of the book; none imports another."""
