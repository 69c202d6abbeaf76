"""Where studies and trials are kept for people to compare: the only package that knows MLflow."""
