"""`memory_limiter`: asks senders to come back while memory is short."""
