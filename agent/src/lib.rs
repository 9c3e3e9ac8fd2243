//! narthex-agent.
