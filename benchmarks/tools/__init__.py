"""What the benchmarks share: images, weights, servers, a load generator, and rows of results."""
