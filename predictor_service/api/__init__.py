"""The HTTP API of the predictor: routes, uploads and answers."""
