"""Everything of Osteon that knows Airflow."""
