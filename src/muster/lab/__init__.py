"""The virtual cluster: a controller and virtual machines in namespaces of their own, as one process tree."""
