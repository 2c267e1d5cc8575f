"""Several workers on one study: processes of this machine, or tasks on a Ray cluster.

A worker shares nothing with the others but the storage. Whoever started them watches the storage
as well, so that workers of other machines are seen in the same way.
"""
