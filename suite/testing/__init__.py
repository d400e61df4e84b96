"""The tests that everything registered must pass, for packages outside to subclass; needs pytest (``codyra-suite[testing]``)."""
