"""The CustomResourceDefinition, written from the types in `spec.py` and `status.py`."""
