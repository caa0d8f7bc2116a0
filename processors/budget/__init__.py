"""`budget`: budgets of the configuration; settles what calls reserved, counts what nobody reserved for."""
