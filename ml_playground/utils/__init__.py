"""What needs nothing of this project but its errors."""
