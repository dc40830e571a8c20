"""Ways of storing weights in fewer bits, one module a way."""
