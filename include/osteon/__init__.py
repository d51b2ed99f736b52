"""Osteon keeps an X-ray classifier trained, honestly. Nothing in this package imports Airflow."""
