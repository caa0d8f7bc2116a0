"""The `bearertokenauth` extension."""
