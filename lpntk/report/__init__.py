"""From numbers to what a page shows."""
