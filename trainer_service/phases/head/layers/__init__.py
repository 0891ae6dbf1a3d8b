"""A head of dropout and dense layers, trained for epochs."""
