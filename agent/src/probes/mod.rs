//! Readings of the kernel, as closed value types.
