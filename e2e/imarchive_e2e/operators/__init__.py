"""Operators as processes of this machine, what is done to them, and what must come of it all the same."""
