"""Classification of images: one class for each, by a φ-encoder with a head.

Small on purpose: it shows what a task is made of. Its bundle lies in ``bundle``.
"""
