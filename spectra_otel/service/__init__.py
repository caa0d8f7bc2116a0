"""What only the stand-alone collector starts: receivers and extensions."""
