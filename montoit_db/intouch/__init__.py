"""InTouch as Mon Toit uses it: services and credentials, their state, and how the state is shown."""
