"""What models are for: answers, truths, and when two answers are alike."""
