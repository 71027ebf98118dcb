"""The window: pages, widgets and the threads behind them. It knows no tensor arithmetic."""
