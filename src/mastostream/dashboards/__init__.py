"""Where results are looked at."""
