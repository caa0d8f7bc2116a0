"""A local provider server and a small app, for `spectra demo` and the tests."""
