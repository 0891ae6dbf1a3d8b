"""How many threads share the products of matrices."""

from threadpoolctl import threadpool_limits

#: From this number of multiplications, about 0.1 s, several threads share one product.
LARGE_PRODUCT = 4e9


def blas_threads(multiplications: float, most: int) -> threadpool_limits:
    """Limit the threads of matrix products, within the context that is returned.

    Threads wait for each other after each product, and do so by spinning. On a busy machine that
    made small products seven times as expensive (36 instead of 5 CPU seconds for 1,261 images of
    7,424 features and 10 labels, 97 instead of 14 s in all), for little gain on a quiet one.

    Args:
        multiplications: of one product: rows times features times labels.
        most: how many threads a large product may use.
    """
    return threadpool_limits(1 if multiplications < LARGE_PRODUCT else most, user_api="blas")


def heads_at_once(multiplications: float, most: int) -> int:
    """Return how many threads may solve heads of their own at a time: where no product has several.

    Args:
        multiplications: of one product.
        most: how many threads there may be.
    """
    return most if multiplications < LARGE_PRODUCT else 1
