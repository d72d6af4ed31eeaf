"""Executors: what runs the worker loops. One file, one plugin."""
