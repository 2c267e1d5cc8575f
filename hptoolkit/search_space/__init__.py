"""The region that is searched: the raw box cut by bounds on coordinates, a polytope in logs."""
