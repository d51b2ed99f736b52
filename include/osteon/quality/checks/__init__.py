"""Osteon's own checks: every module here is imported, and registers the checks that it defines."""
