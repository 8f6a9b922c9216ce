"""Hosts: the only modules that import a segmentation framework. Each offers a method its seat."""
