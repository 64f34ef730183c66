"""Intervals and the distributions behind them."""
