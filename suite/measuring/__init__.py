"""What ``codyra-suite dev perf`` measures: fast paths beside their plain twins, memory, forecasts, faults."""
