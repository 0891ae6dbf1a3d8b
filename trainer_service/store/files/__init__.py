"""How files of the store are locked, read and removed; knows neither trainings nor datasets."""
