"""What this project costs, beside what others cost; nothing here runs with the tests."""
