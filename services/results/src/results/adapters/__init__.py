"""What results stores and serves: PostgreSQL, objects, Kafka and HTTP."""
