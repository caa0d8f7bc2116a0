"""`usage`: any dialect to the record's usage; one cost-bearing leaf per response."""
