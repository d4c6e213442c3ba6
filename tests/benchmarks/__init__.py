"""Tests of the benchmarks that others rely on."""
