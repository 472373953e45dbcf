"""What the tests share: time that passes at once, work in turn, a gear run as a process."""
