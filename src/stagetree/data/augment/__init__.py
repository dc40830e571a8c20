"""Methods that make further training examples of those there are."""
