"""What a study is: its definition, read from a file and checked, and the sampler it names."""
