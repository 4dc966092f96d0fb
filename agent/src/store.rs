//! (being written) What must survive: writes the core's records and syncs them. Knows nothing of what they mean.
