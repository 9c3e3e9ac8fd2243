//! The workload: started, confined, supervised, and its ends recorded.
