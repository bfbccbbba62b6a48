"""Evaluation, prediction and the pictures of both."""
