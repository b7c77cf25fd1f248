"""Load tests one can trust: who sends what (`users`), how much of it when (`shapes`), and what counts as
passed (`gates`). `ringline loadtest` starts them; `locust -f loadtests/locustfile.py` works as well.

Needs the extra `ringline[loadtests]`. Nothing of the product imports this package.
"""
