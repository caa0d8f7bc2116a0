"""`python -m spectra_otel.cli` is `spectra`."""

from spectra_otel.cli import main

if __name__ == "__main__":
    main(prog_name="spectra")
