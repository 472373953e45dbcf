"""What the gear asks of a Flywheel site: alone in knowing flywheel, HTTP, retries and rates."""
