//! From a freshly started process to a confined one with an event loop.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use narthex_channel::{Initiator, Opening};
use tokio::runtime::{Builder, Runtime};

use super::inherited::Inherited;
use crate::ipc::{self, ConfinementOrder};
use crate::sandbox::{self, Confinement, Plan, Profile, SandboxError};

/// Exit code of a confined process whose work is over: the supervisor hung up, or the exchange is made.
pub const END_OF_WORK: u8 = 0;
/// Exit code of a confined process that could not understand the supervisor.
pub const PROTOCOL_BROKEN: u8 = 110;

/// What a confined process has once it is confined.
pub struct ConfinedLoop {
    /// The event loop: one thread, and it will stay one.
    pub runtime: Runtime,
    /// To the supervisor, non-blocking.
    pub supervisor: UnixStream,
    /// The listener or the connection, non-blocking.
    pub work: OwnedFd,
    /// What was enforced.
    pub confinement: Confinement,
}

/// What a set-up message says about the confinement.
pub trait Setup {
    /// How the process is to be confined.
    fn confinement(&self) -> ConfinementOrder;
    /// Most descriptors.
    fn max_open_files(&self) -> u64;
}

/// Reads the set-up message, which comes from the supervisor and before anything hostile, confines the
/// process accordingly, and makes its event loop.
///
/// # Errors
///
/// The exit code with which the process must end.
pub fn enter<T>(inherited: Inherited, profile: Profile) -> Result<(T, ConfinedLoop), u8>
where
    T: Setup + for<'b> minicbor::Decode<'b, ()> + minicbor::Encode<()> + minicbor::CborLen<()>,
{
    let Inherited {
        mut supervisor,
        work,
    } = inherited;
    let setup: T = ipc::read_setup(&mut supervisor).map_err(|_| PROTOCOL_BROKEN)?;
    let plan = Plan {
        profile,
        user: setup.confinement().user(),
        max_open_files: setup.max_open_files(),
        landlock: setup.confinement().landlock(),
    };
    warm_up_random_source()?;
    let refused = |error: SandboxError| error.exit_code();
    let prepared = sandbox::prepare(plan).map_err(refused)?;
    supervisor
        .set_nonblocking(true)
        .map_err(|_| PROTOCOL_BROKEN)?;
    super::set_nonblocking(&work).map_err(|_| PROTOCOL_BROKEN)?;
    // The loop's descriptors are made here, because the filter will not let them be made later.
    let runtime = Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|_| PROTOCOL_BROKEN)?;
    let confinement = prepared.seal().map_err(refused)?;
    Ok((
        setup,
        ConfinedLoop {
            runtime,
            supervisor,
            work,
            confinement,
        },
    ))
}

/// Draws from the channel's random source once, before files are out of reach. A statically linked program
/// that was not built for the system call alone (`--cfg getrandom_backend="linux_getrandom"`) finds no `getrandom` in
/// its C library and opens `/dev/urandom` at first use; inside the sandbox that would end it.
fn warm_up_random_source() -> Result<(), u8> {
    Initiator::new(&Opening::Policy)
        .map(|_| ())
        .map_err(|_| PROTOCOL_BROKEN)
}
