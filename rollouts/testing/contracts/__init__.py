"""What every plugin of a kind must do, as tests: subclass, say how yours is made, and run pytest."""
