"""Published models, as both services read them."""
