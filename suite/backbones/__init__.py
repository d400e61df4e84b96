"""Pretrained networks behind one interface, the learner."""
