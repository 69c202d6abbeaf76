"""The winner in MLflow's Model Registry: packed, registered, and the code that serves it."""
