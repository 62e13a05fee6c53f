"""Meshes of devices, and which axis of an array is divided over which of theirs."""
