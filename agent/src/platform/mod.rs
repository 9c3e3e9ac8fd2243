//! Operating-system calls that the workload needs.
