"""What InTouch did and what it cost: read from the logs, shown on a terminal or a page."""
