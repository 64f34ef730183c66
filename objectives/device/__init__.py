"""What computes: processors, precision, memory, and what happens when memory runs out."""
