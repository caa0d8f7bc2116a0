"""The folder that ``spectra run`` puts on the path of what it launches; see ``sitecustomize.py`` in it."""
