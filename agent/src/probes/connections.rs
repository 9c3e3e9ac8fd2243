//! `connections`: the machine's sockets, counted by state. No address, no port, no name.

use narthex_channel::diagnostics::{Field, FieldName, Value};

use super::read_bytes;
use super::rounding::two_bits;

// include/net/tcp_states.h
const ESTABLISHED: &[u8] = b"01";
const LISTEN: &[u8] = b"0A";

pub(super) fn read() -> Vec<Field> {
    let file = |name: &str| read_bytes(format!("/proc/net/{name}")).unwrap_or_default();
    let mut tcp = TcpCounts::default();
    tcp.add(&file("tcp"));
    tcp.add(&file("tcp6"));
    let TcpCounts {
        established,
        listening,
        other,
    } = tcp;
    let udp = entries(&file("udp")).saturating_add(entries(&file("udp6")));
    [
        (FieldName::ConnectionsTcpEstablished, established),
        (FieldName::ConnectionsTcpListening, listening),
        (FieldName::ConnectionsTcpOther, other),
        (FieldName::ConnectionsUdp, udp),
        (FieldName::ConnectionsUnix, unix_entries(&file("unix"))),
    ]
    .map(|(name, count)| Field::single(name, Value::Count(two_bits(count))))
    .to_vec()
}

#[derive(Default)]
pub(super) struct TcpCounts {
    established: u64,
    listening: u64,
    other: u64,
}

impl TcpCounts {
    /// The text of `/proc/net/tcp` or `tcp6`: a heading, and one socket a line, its state in field
    /// 4.
    pub(super) fn add(&mut self, text: &[u8]) {
        for line in lines(text) {
            let mut fields = line
                .split(|&byte| byte == b' ')
                .filter(|field| !field.is_empty());
            let count = match fields.nth(3) {
                Some(ESTABLISHED) => &mut self.established,
                Some(LISTEN) => &mut self.listening,
                Some(_) => &mut self.other,
                None => continue,
            };
            *count = count.saturating_add(1);
        }
    }
}

fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&byte| byte == b'\n')
        .skip(1)
        .filter(|line| !line.is_empty())
}

fn entries(text: &[u8]) -> u64 {
    u64::try_from(lines(text).count()).unwrap_or(u64::MAX)
}

/// Names of Unix sockets are the programs' choice and may hold line ends; a socket's line begins
/// with its address and a colon (`ffff888103c0a000:`).
pub(super) fn unix_entries(text: &[u8]) -> u64 {
    let begins = |line: &&[u8]| {
        line.split_first_chunk::<17>().is_some_and(|(address, _)| {
            address.ends_with(b":") && address.iter().take(16).all(|byte| byte.is_ascii_hexdigit())
        })
    };
    u64::try_from(lines(text).filter(begins).count()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tcp_by_state() {
        let mut counts = TcpCounts::default();
        counts.add(
            b"  sl  local_address rem_address   st tx_queue\n\
              0: 00000000:07E8 00000000:0000 0A 00000000:00000000 00:00000000\n\
              1: 0100007F:1F90 0100007F:A000 01 00000000:00000000\n\
              2: 0100007F:1F90 0100007F:A001 06 00000000:00000000\n\
              broken line\n",
        );
        assert_eq!(
            (counts.established, counts.listening, counts.other),
            (1, 1, 1)
        );
        counts.add(b"");
        counts.add(b"no heading, no line end");
        assert_eq!(
            (counts.established, counts.listening, counts.other),
            (1, 1, 1)
        );
    }

    #[test]
    fn names_of_unix_sockets_cannot_make_entries() {
        let text = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            00000000a83d2bd1: 00000003 00000000 00000000 0001 03  1110\n\
            000000006ba090c8: 00000003 00000000 00000000 0001 03 115 @a\nb\n: \n0123: x\n\xff\n";
        assert_eq!(unix_entries(text), 2);
        assert_eq!(unix_entries(b""), 0);
    }
}
