"""Makes ``pricing/data/catalog.tsv`` from the sources: ``make prices``. Never imported at run time."""
