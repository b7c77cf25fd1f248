"""The operator: keeps the stages of a pipeline within their SLAs by the number of their replicas."""
