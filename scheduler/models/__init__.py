"""Models: shapes, weights and what ships with the project."""
