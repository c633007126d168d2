"""What training looks at: batches that follow from the number of their step."""
