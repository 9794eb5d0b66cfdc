"""From a netlist to C++ that is fast to compile and to run."""
