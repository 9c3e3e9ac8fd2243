//! What the agent and a shepherd say to each other.
//!
//! One order with file descriptors at the start, then commands of four bytes towards the shepherd
//! (each a stop with its grace time) and short framed events back. Both ends are the same binary,
//! so there is no version; lengths are bounded all the same. The workload has no descriptor of this
//! socket.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use nix::cmsg_space;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

/// Largest order: configuration files are at most 64 KiB.
const MAX_ORDER_BYTES: usize = 256 * 1024;
/// Largest event.
pub(super) const MAX_EVENT_BYTES: usize = 64;
/// Most descriptors that travel with an order.
const MAX_DESCRIPTORS: usize = 5;

/// The only command: ends the workload by SIGTERM, and by SIGKILL for all of it after the grace
/// time, which is the command's content in milliseconds, big-endian.
pub(super) const STOP_COMMAND_BYTES: usize = 4;

/// What to start and how. Times in milliseconds.
#[derive(Clone, Debug, Decode, Encode, PartialEq, Eq)]
pub(super) struct LaunchOrder {
    #[n(0)]
    pub program: ByteVec,
    /// Without the program's own name.
    #[n(1)]
    pub arguments: Vec<ByteVec>,
    /// `NAME=VALUE`.
    #[n(2)]
    pub environment: Vec<ByteVec>,
    #[n(3)]
    pub working_directory: ByteVec,
    /// User and group id.
    #[n(4)]
    pub user: Option<(u32, u32)>,
    /// Where the keys' tmpfs goes, when it comes with the order; otherwise where the key files are.
    #[n(5)]
    pub keys_place: ByteVec,
    #[n(6)]
    pub cover_temporary_files: bool,
    #[n(7)]
    pub open_files: u64,
    #[n(8)]
    pub processes: Option<u64>,
    /// Bits of the measures that membership in the control group brings.
    #[n(9)]
    pub control_group_measures: u32,
    /// Whether measures that need privilege may be missing.
    #[n(10)]
    pub tolerant: bool,
    /// Directory of the control group, when there is one: removed by the shepherd if the agent
    /// cannot.
    #[n(11)]
    pub control_group_place: Option<ByteVec>,
    /// The descriptors that come with the order, in their order.
    #[n(12)]
    pub descriptors: Vec<Descriptor>,
    /// The workload's own root. Absent: the agent's file system.
    #[n(13)]
    pub root: Option<RootOrder>,
    /// Whether the workload may make vsock sockets.
    #[n(14)]
    pub vsock: bool,
}

/// A root of its own for the workload.
#[derive(Clone, Debug, Decode, Encode, PartialEq, Eq)]
pub(super) struct RootOrder {
    /// The folder that becomes `/`.
    #[n(0)]
    pub folder: ByteVec,
    /// The local socket, to be seen at the same path.
    #[n(1)]
    pub socket: Option<ByteVec>,
    #[n(2)]
    pub tmp_bytes: u64,
    #[n(3)]
    pub shm_bytes: u64,
    #[n(4)]
    pub insecure_executable_tmp: bool,
}

/// What a descriptor that comes with an order is.
#[derive(Clone, Copy, Debug, Decode, Encode, PartialEq, Eq)]
#[cbor(index_only)]
pub(super) enum Descriptor {
    /// Where standard output goes.
    #[n(0)]
    Output,
    /// Where standard error goes.
    #[n(1)]
    Error,
    /// The detached keys' tmpfs.
    #[n(2)]
    Keys,
    /// The control group's `cgroup.procs`.
    #[n(3)]
    ControlGroupProcesses,
    /// The control group's `cgroup.kill`.
    #[n(4)]
    ControlGroupKill,
}

/// What a shepherd tells.
#[derive(Clone, Copy, Debug, Decode, Encode, PartialEq, Eq)]
pub(super) enum Event {
    /// The program has begun.
    #[n(0)]
    Started {
        /// Bits of the measures that hold.
        #[n(0)]
        measures: u32,
    },
    /// It could not be started; the shepherd ends.
    #[n(1)]
    NotStarted {
        /// Discriminant of the launch step.
        #[n(0)]
        step: u8,
        /// The kernel's error number.
        #[n(1)]
        error: i32,
    },
    /// All of it has ended; the shepherd ends.
    #[n(2)]
    Ended {
        /// Exit code, when the program returned one.
        #[n(0)]
        code: Option<u8>,
        /// Signal, when one ended it.
        #[n(1)]
        signal: Option<u8>,
        /// Processes that would not die in time.
        #[n(2)]
        survivors: u32,
    },
}

impl Event {
    /// One frame: length, then CBOR.
    pub(super) fn send(self, stream: &mut impl Write) -> io::Result<()> {
        let body = minicbor::to_vec(self).map_err(io::Error::other)?;
        let length = u16::try_from(body.len()).map_err(io::Error::other)?;
        let mut frame = length.to_be_bytes().to_vec();
        frame.extend_from_slice(&body);
        stream.write_all(&frame)
    }

    /// The event in a frame's body.
    pub(super) fn decode(body: &[u8]) -> Option<Self> {
        minicbor::decode(body).ok()
    }
}

/// Sends an order with its descriptors. Blocks.
pub(super) fn send_order(
    stream: &mut UnixStream,
    order: &LaunchOrder,
    descriptors: &[RawFd],
) -> io::Result<()> {
    let body = minicbor::to_vec(order).map_err(io::Error::other)?;
    let length = u32::try_from(body.len())
        .map_err(io::Error::other)?
        .to_be_bytes();
    let message = [ControlMessage::ScmRights(descriptors)];
    let flags = MsgFlags::MSG_NOSIGNAL;
    let sent = sendmsg::<()>(
        stream.as_raw_fd(),
        &[IoSlice::new(&length)],
        &message,
        flags,
        None,
    )?;
    if sent != length.len() {
        return Err(io::ErrorKind::WriteZero.into());
    }
    stream.write_all(&body)
}

/// Receives an order with its descriptors. Blocks.
pub(super) fn receive_order(
    stream: &mut UnixStream,
) -> io::Result<(LaunchOrder, Vec<(Descriptor, OwnedFd)>)> {
    let mut length = [0_u8; 4];
    let mut space = cmsg_space!([RawFd; MAX_DESCRIPTORS]);
    let mut received = Vec::new();
    let bytes = {
        let mut slices = [IoSliceMut::new(&mut length)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<()>(stream.as_raw_fd(), &mut slices, Some(&mut space), flags)?;
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(raw) = control {
                received.extend(raw.into_iter().map(own));
            }
        }
        message.bytes
    };
    if bytes != length.len() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
    if length > MAX_ORDER_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let order: LaunchOrder = minicbor::decode(&body).map_err(io::Error::other)?;
    if order.descriptors.len() != received.len() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let descriptors = order.descriptors.iter().copied().zip(received).collect();
    Ok((order, descriptors))
}

#[allow(unsafe_code)] // A descriptor that SCM_RIGHTS has just brought is a bare number in `nix`.
fn own(raw: RawFd) -> OwnedFd {
    // SAFETY: the kernel has installed it for this message, and nobody else knows it.
    unsafe { OwnedFd::from_raw_fd(raw) }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    fn order() -> LaunchOrder {
        LaunchOrder {
            program: b"/bin/true".to_vec().into(),
            arguments: vec![b"a\xff".to_vec().into()],
            environment: vec![b"A=B".to_vec().into()],
            working_directory: b"/".to_vec().into(),
            user: Some((1000, 1001)),
            keys_place: b"/run/keys".to_vec().into(),
            cover_temporary_files: true,
            open_files: 64,
            processes: None,
            control_group_measures: 3,
            tolerant: true,
            control_group_place: Some(b"/sys/fs/cgroup/x".to_vec().into()),
            descriptors: vec![Descriptor::Output, Descriptor::Error],
            root: Some(RootOrder {
                folder: b"/rootfs".to_vec().into(),
                socket: Some(b"/run/narthex/workload.sock".to_vec().into()),
                tmp_bytes: 4096,
                shm_bytes: u64::MAX,
                insecure_executable_tmp: false,
            }),
            vsock: true,
        }
    }

    #[test]
    fn an_order_arrives_with_its_descriptors() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        send_order(&mut ours, &order(), &[null.as_raw_fd(), null.as_raw_fd()]).unwrap();
        let (received, descriptors) = receive_order(&mut theirs).unwrap();
        assert_eq!(received, order());
        let kinds: Vec<_> = descriptors.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, [Descriptor::Output, Descriptor::Error]);
    }

    #[test]
    fn a_missing_descriptor_is_refused() {
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let null = std::fs::File::open("/dev/null").unwrap();
        send_order(&mut ours, &order(), &[null.as_raw_fd()]).unwrap();
        assert_eq!(
            receive_order(&mut theirs).unwrap_err().kind(),
            io::ErrorKind::InvalidData
        );
    }

    #[test]
    fn events_survive_their_encoding_and_fit() {
        for event in [
            Event::Started { measures: u32::MAX },
            Event::NotStarted {
                step: 12,
                error: -2,
            },
            Event::Ended {
                code: Some(255),
                signal: None,
                survivors: u32::MAX,
            },
        ] {
            let mut frame = Vec::new();
            event.send(&mut frame).unwrap();
            assert!(frame.len() <= MAX_EVENT_BYTES);
            assert_eq!(Event::decode(&frame[2..]), Some(event));
        }
    }
}
