"""Detections -> sizes in nm -> population statistics."""
