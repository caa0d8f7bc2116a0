"""One call from start to finish: context, request, stream; one finaliser."""
