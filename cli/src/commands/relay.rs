//! `narthex relay`: any address kind to any other.

use std::time::Duration;

use clap::Args;
use narthex_channel::Address;

use crate::exit::Exit;
use crate::failure::Outcome;
use crate::moment::parse_duration;
use crate::output::Output;
use crate::relay::serve;

/// Relay connections from one address to another.
#[derive(Clone, Debug, Args)]
#[command(after_help = "\
Addresses: vsock:CID:PORT, tcp:IP:PORT, unix:PATH, hybrid:PATH:PORT (the `CONNECT port` convention
of Firecracker and vhost-device-vsock). To listen on any CID, write vsock:any:PORT.

Every connection is relayed byte for byte; what passes is not looked at. When one side stops
sending, the other is told, and may still answer. When all places are taken, new connections wait
in the system's queue. SIGINT or SIGTERM: no new connections, a few seconds for those that are
open, a line of counts, exit 0. A second signal ends it at once.

Examples:
  narthex relay vsock:any:9100 tcp:10.0.0.5:7000     # the enclave reaches the key service
  narthex relay tcp:127.0.0.1:5005 vsock:16:5005     # operators reach the enclave with CID 16
  narthex relay unix:/run/agent.sock hybrid:/run/vm.sock:5005")]
pub(crate) struct Arguments {
    /// Where to listen
    #[arg(value_name = "LISTEN")]
    pub(crate) listen: Address,

    /// Where to connect to, for each connection
    #[arg(value_name = "CONNECT")]
    pub(crate) connect: Address,

    /// Connections at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) max_connections: u16,

    /// End a connection when nothing has moved for this long
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "5m")]
    pub(crate) idle_timeout: Duration,

    /// Give up connecting after this long
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "10s")]
    pub(crate) connect_timeout: Duration,

    /// When told to stop, how long open connections may go on
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, default_value = "5s")]
    pub(crate) drain: Duration,
}

/// Runs it until it is told to stop.
pub(crate) fn run(arguments: &Arguments, output: &Output) -> Outcome<Exit> {
    serve::serve(arguments, output)
}
