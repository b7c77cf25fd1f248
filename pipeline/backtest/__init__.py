"""Backtests: candles through exactly the code that decides and fills live, and a fast path proven equal."""
