"""Measures the archiver beside peers that do the same work on the same machine: `make bench`."""
