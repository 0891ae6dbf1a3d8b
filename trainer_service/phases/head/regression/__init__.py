"""A head that is solved, not trained step by step: multinomial logistic regression with L2."""
