"""Figures of what evaluation and tuning computed. No other package imports matplotlib."""
