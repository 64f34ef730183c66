"""What the runs of a study say together about its configs: a posterior instead of the luckiest score."""
