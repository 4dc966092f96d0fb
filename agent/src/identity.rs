//! (being written) The mesh's authority and the certificates that carry name, region and role.
