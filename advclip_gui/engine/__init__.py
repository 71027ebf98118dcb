"""The engine: data, models, attacks, training and evaluation. It knows no screen."""
