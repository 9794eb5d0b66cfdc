"""Issue of the vector unit: from an instruction to what each vector lane does when."""
