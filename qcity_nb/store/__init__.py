"""All SQL. SQLAlchemy Core on one SQLite file by default or on PostgreSQL by URL, the same queries on both."""
