"""InTouch as Mon Toit uses it: what there is to switch on, and how its state reads."""
