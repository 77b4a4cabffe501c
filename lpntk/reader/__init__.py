"""For readers: a report on data of one's own, and pictures to play with."""
