"""Calls as the app's code names them: ``track``, ``start_request``, ``stream``, and who a call is made for."""
