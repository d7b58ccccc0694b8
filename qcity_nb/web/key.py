"""How a page and Jupyter's proxy in front of it know each other: a key in the page's environment, and the header that carries it."""

KEY = "QCITY_SERVE_KEY"
HEADER = "X-QCity-Key"
