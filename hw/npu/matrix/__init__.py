"""The matrix unit: systolic arrays, and the loading, feeding and draining of them."""
