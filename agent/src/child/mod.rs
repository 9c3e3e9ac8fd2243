//! Starting the confined processes: the agent's own program again, with two descriptors and nothing else.
//!
//! The new process gets one end of a socket pair to the supervisor, and one working descriptor (the gate's
//! listener, a fetcher's connection). Their numbers stand on its command line; every other descriptor is
//! closed, the environment is empty, and standard input and outputs are `/dev/null`, so that not even a panic's
//! text leaves it.

mod confine;
mod inherited;
mod spawn;
mod stream;

pub use confine::{ConfinedLoop, END_OF_WORK, PROTOCOL_BROKEN, Setup, enter};
pub use inherited::{Inherited, take_inherited};
pub use spawn::{ConfinedChild, Role, spawn};
pub use stream::InheritedStream;
pub(crate) use stream::{register, set_nonblocking};
