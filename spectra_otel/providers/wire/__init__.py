"""The wire formats that providers speak; several providers share most of them."""
