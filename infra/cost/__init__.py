"""What a stack costs: the price table and the estimate."""
