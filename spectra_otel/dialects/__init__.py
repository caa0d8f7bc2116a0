"""What other instrumentations write on their spans, one module per family, each a table.

A module without an underscore defines `DIALECT` and is found by itself: to add a family, add its file. Those with an underscore
are what the tables are made of: `_base` says what a dialect is, `_fixes` and `_texts` hold the rules and readers they name,
`_usage` knows the providers' usage objects, `_providers` their names and hosts, `_reader` does the reading.
"""
