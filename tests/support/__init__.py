"""What tests and benchmarks are written with; the fixtures are in `tests/conftest.py`."""
